//! A form with one file in it, as browsers send them (RFC 7578), streamed.
//!
//! [`multer`] takes forms apart. It reads as far as its source lets it and keeps what it has not given out,
//! so the source here pauses after every piece, and all that is no file is limited.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::{StreamExt as _, poll_fn, try_unfold};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use multer::{Field, Multipart};

use super::WriteError;
use super::body::{BodyError, Pieces};

/// Bytes that are read before the file, and after it.
const MOST_BESIDES: u64 = 64 << 10;

/// Longest `key`; S3 ends keys there.
const LONGEST_KEY: usize = 1024;

const ONE_FILE: &str = "a form must have exactly one file";

/// The file of a form.
pub(super) struct File {
    /// What it is called below the prefix: the field `key`, or the name of the file.
    pub(super) name: String,
    /// Headers of its part of the form.
    pub(super) headers: HeaderMap,
    /// Its bytes. They end without an error only if nothing that is not allowed comes after them.
    pub(super) pieces: Pieces,
}

impl File {
    /// Reads a form up to the first byte of its file, of which at most `limit` bytes are taken.
    pub(super) async fn of(
        headers: &HeaderMap,
        body: Pieces,
        limit: u64,
    ) -> Result<Self, WriteError> {
        let kind = headers
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        let boundary = multer::parse_boundary(kind.unwrap_or_default());
        let boundary = boundary.map_err(|_| {
            WriteError::Form("a form has the Content-Type multipart/form-data, with a boundary")
        })?;
        let allowed = Arc::new(AtomicU64::new(MOST_BESIDES));
        let mut form = Multipart::new(paced(body, allowed.clone()), boundary);
        let opened = open(&mut form).await;
        let (name, field) = opened.map_err(|error| WriteError::of_body(error, limit))?;
        allowed.store(u64::MAX, Ordering::Relaxed);
        let headers = field.headers().clone();
        let reading = Reading {
            form,
            field: Some(field),
            allowed,
            left: limit,
        };
        Ok(Self {
            name,
            headers,
            pieces: try_unfold(reading, Reading::next).boxed(),
        })
    }
}

async fn open(form: &mut Multipart<'static>) -> Result<(String, Field<'static>), BodyError> {
    let mut key = None;
    while let Some(field) = form.next_field().await.map_err(broken)? {
        if is_file(&field) {
            let name = match key {
                Some(key) => key,
                // Some browsers have sent whole paths.
                None => field
                    .file_name()
                    .unwrap_or_default()
                    .rsplit(['/', '\\'])
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            };
            return match name.is_empty() {
                true => Err(BodyError::Form("the file has no name, and no key is given")),
                false => Ok((name, field)),
            };
        }
        let is_key = field.name() == Some("key");
        let value = short(field).await?;
        if is_key && key.replace(value).is_some() {
            return Err(BodyError::Form("key is there twice"));
        }
    }
    Err(BodyError::Form(ONE_FILE))
}

fn is_file(field: &Field<'_>) -> bool {
    field.file_name().is_some() || field.name() == Some("file")
}

/// The text of a field.
async fn short(mut field: Field<'_>) -> Result<String, BodyError> {
    let mut text = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(broken)? {
        if text.len() + piece.len() > LONGEST_KEY {
            return Err(BodyError::Form("a field is longer than 1024 bytes"));
        }
        text.extend_from_slice(&piece);
    }
    String::from_utf8(text).map_err(|_| BodyError::Form("a field is not UTF-8"))
}

/// A file that is being read.
struct Reading {
    form: Multipart<'static>,
    /// The file, until it has ended.
    field: Option<Field<'static>>,
    allowed: Arc<AtomicU64>,
    left: u64,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, BodyError> {
        while let Some(field) = &mut self.field {
            match field.chunk().await.map_err(broken)? {
                Some(piece) if piece.is_empty() => {}
                Some(piece) => {
                    let left = self.left.checked_sub(piece.len() as u64);
                    self.left = left.ok_or(BodyError::TooLarge)?;
                    return Ok(Some((piece, self)));
                }
                None => {
                    self.allowed.store(MOST_BESIDES, Ordering::Relaxed);
                    self.field = None;
                }
            }
        }
        while let Some(field) = self.form.next_field().await.map_err(broken)? {
            if is_file(&field) {
                return Err(BodyError::Form(ONE_FILE));
            }
            if field.name() == Some("key") {
                return Err(BodyError::Form("key must come before the file"));
            }
            short(field).await?;
        }
        Ok(None)
    }
}

/// A pause after every piece, and an end when `allowed` is used up. `u64::MAX` is no limit.
fn paced(
    mut body: Pieces,
    allowed: Arc<AtomicU64>,
) -> impl Stream<Item = Result<Bytes, BodyError>> + Send {
    let mut pause = false;
    poll_fn(move |context| {
        if std::mem::take(&mut pause) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let left = allowed.load(Ordering::Relaxed);
        if left == 0 {
            return Poll::Ready(Some(Err(BodyError::Form(
                "the form has too much besides its file",
            ))));
        }
        let polled = body.poll_next_unpin(context);
        if let Poll::Ready(Some(Ok(piece))) = &polled {
            pause = true;
            if left != u64::MAX {
                allowed.store(left.saturating_sub(piece.len() as u64), Ordering::Relaxed);
            }
        }
        polled
    })
}

fn broken(error: multer::Error) -> BodyError {
    match error {
        multer::Error::StreamReadFailed(source) => match source.downcast::<BodyError>() {
            Ok(error) => *error,
            Err(source) => BodyError::Broken(source),
        },
        _ => BodyError::Form("the form breaks off or is malformed"),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "Content-Disposition: form-data; name=";

    fn headers() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            "multipart/form-data; boundary=XX".parse().expect("a value"),
        );
        headers
    }

    /// Name and content of the file, whatever pieces the form comes in.
    async fn read(form: &[u8], size: usize) -> Result<(String, Vec<u8>), String> {
        let pieces: Vec<_> = form
            .chunks(size)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        let body = stream::iter(pieces).boxed();
        let mut file = File::of(&headers(), body, 100_000)
            .await
            .map_err(|e| e.to_string())?;
        let mut bytes = Vec::new();
        while let Some(piece) = file.pieces.next().await {
            bytes.extend_from_slice(&piece.map_err(|error| error.to_string())?);
        }
        Ok((file.name, bytes))
    }

    fn form(parts: &[&str]) -> String {
        let parts: Vec<_> = parts
            .iter()
            .map(|part| format!("--XX\r\n{part}\r\n"))
            .collect();
        format!("{}--XX--\r\n", parts.concat())
    }

    #[tokio::test]
    async fn a_form_has_one_file_and_maybe_a_key() {
        let file = |name: &str| {
            format!(
                "{HEAD}\"file\"; filename=\"{name}\"\r\nContent-Type: text/css\r\n\r\na\r\n--X\r\nb"
            )
        };
        let key = |key: &str| format!("{HEAD}\"key\"\r\n\r\n{key}");
        let content = b"a\r\n--X\r\nb".to_vec();
        for size in [1, 3, 1000] {
            let plain = form(&[&file("C:\\x\\a.css")]);
            assert_eq!(
                read(plain.as_bytes(), size).await,
                Ok(("a.css".into(), content.clone()))
            );
            let keyed = form(&[
                &key("d/b.css"),
                &file("a.css"),
                &format!("{HEAD}\"go\"\r\n\r\nSend"),
            ]);
            assert_eq!(
                read(keyed.as_bytes(), size).await,
                Ok(("d/b.css".into(), content.clone()))
            );
            let long = file("a").replace("a\r\n", &"y".repeat(100_001));
            for bad in [
                String::new(),
                "nothing".to_owned(),
                form(&[]),
                form(&[&key("x")]),
                form(&[&file("")]),
                form(&[&file("a"), &file("b")]),
                form(&[&file("a"), &key("x")]),
                form(&[&key("x"), &key("y"), &file("a")]),
                form(&[&key(&"x".repeat(1025)), &file("a")]),
                form(&[&long]),
                plain[..plain.len() - 6].to_owned(),
                plain[..plain.len() - 20].to_owned(),
            ] {
                assert!(read(bad.as_bytes(), size).await.is_err(), "{bad}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_file_is_limited_and_a_file_is_not_read_ahead() {
        let endless = stream::repeat_with(|| Ok(Bytes::from_static(&[b'x'; 1000]))).boxed();
        assert!(File::of(&headers(), endless, 1 << 20).await.is_err());
        let read = Arc::new(AtomicU64::new(0));
        let counted = read.clone();
        let head = format!("--XX\r\n{HEAD}\"file\"; filename=\"a\"\r\n\r\n");
        let more = stream::repeat_with(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(Bytes::from_static(&[b'x'; 1000]))
        });
        let body = stream::iter([Ok(Bytes::from(head))]).chain(more).boxed();
        let mut file = File::of(&headers(), body, 1 << 20).await.expect("a file");
        let _ = file.pieces.next().await;
        assert!(read.load(Ordering::Relaxed) < 5, "{read:?}");
    }

    proptest! {
        #[test]
        fn no_form_makes_it_fall_over(parts in "(--XX|--|\r\n|Content-Disposition: form-data; |name=|filename=|\"file\"|\"key\"|\\PC){0,30}", size in 1..40usize) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let _ = runtime.block_on(read(parts.as_bytes(), size));
        }
    }
}
