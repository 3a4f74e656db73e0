//! An S3 store as it is over a distance: every request waits, every stream is slow, any number go at once.
//!
//! The protocol is real (`s3s`: signatures, ranges, conditions, errors); the objects are made up from
//! their offsets, so that one of any size costs neither disk nor memory. The key says the size:
//! `GET /bench/ANY-NAME/1073741824`. Prints the address it listens on, then one line for every body: the
//! time of its first byte, in nanoseconds since 1970, and the key.
//!
//! ```text
//! slow-store DELAY_MS MEGABYTES_PER_SECOND
//! ```

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use async_trait::async_trait;
use benches::object::Pattern;
use bytes::Bytes;
use futures_util::stream;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::dto::{
    ETag, ETagCondition, GetObjectInput, GetObjectOutput, HeadBucketInput, HeadBucketOutput,
    HeadObjectInput, HeadObjectOutput, StreamingBlob,
};
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use tokio::net::TcpListener;
use tokio::time::Instant;

/// A stream is sent in pieces that take it this long.
const STEP: Duration = Duration::from_millis(1);
/// A reader that pauses may catch up this much afterwards, as a window of TCP would let it.
const BURST: Duration = Duration::from_millis(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1).map(|number| number.parse::<f64>());
    let mut next = || args.next().context("usage: slow-store DELAY_MS MB_PER_S");
    let store = SlowStore {
        delay: Duration::from_secs_f64(next()?? / 1e3),
        bytes_per_second: next()?? * 1e6,
        pattern: Arc::new(Pattern::new()),
    };
    let mut service = S3ServiceBuilder::new(store);
    service.set_auth(SimpleAuth::from_single("key", "secret"));
    let service = service.build();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service.clone();
        tokio::spawn(async move {
            // It ends with an error when a reader hangs up in the middle, as readers do.
            let _ended = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

struct SlowStore {
    delay: Duration,
    bytes_per_second: f64,
    pattern: Arc<Pattern>,
}

#[async_trait]
impl S3 for SlowStore {
    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        tokio::time::sleep(self.delay).await;
        let input = request.input;
        let (total, etag) = object(&input.key)?;
        if let Some(ETagCondition::ETag(wanted)) = &input.if_match
            && !wanted.strong_cmp(&etag)
        {
            return Err(s3_error!(PreconditionFailed));
        }
        let range = match input.range {
            None => 0..total,
            Some(range) => range.check(total)?,
        };
        let content_range = input
            .range
            .map(|_| format!("bytes {}-{}/{total}", range.start, range.end - 1));
        let length = i64::try_from(range.end - range.start);
        let body = self.stream(input.key, range);
        Ok(S3Response::new(GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            body: Some(StreamingBlob::wrap(body)),
            content_length: length.ok(),
            content_range,
            e_tag: Some(etag),
            last_modified: Some(UNIX_EPOCH.into()),
            ..Default::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        tokio::time::sleep(self.delay).await;
        let (total, etag) = object(&request.input.key)?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: i64::try_from(total).ok(),
            e_tag: Some(etag),
            last_modified: Some(UNIX_EPOCH.into()),
            ..Default::default()
        }))
    }

    async fn head_bucket(
        &self,
        _: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        Ok(S3Response::new(HeadBucketOutput::default()))
    }
}

/// Size and entity tag of what the key names.
fn object(key: &str) -> S3Result<(u64, ETag)> {
    let size = key.rsplit('/').next().and_then(|size| size.parse().ok());
    let size = size.ok_or_else(|| s3_error!(NoSuchKey))?;
    Ok((size, ETag::Strong(format!("pattern-{size}"))))
}

impl SlowStore {
    /// The bytes, each piece when it is due.
    fn stream(
        &self,
        key: String,
        range: std::ops::Range<u64>,
    ) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> + Send + Sync + use<> {
        let (rate, pattern) = (self.bytes_per_second, self.pattern.clone());
        let piece = (rate * STEP.as_secs_f64()) as u64;
        let begin = (range, None::<Instant>);
        stream::unfold(begin, move |(range, due)| {
            let (pattern, key) = (pattern.clone(), key.clone());
            async move {
                if range.is_empty() {
                    return None;
                }
                let due = match due {
                    // The first byte is not held up.
                    None => {
                        log_first_byte(&key);
                        Instant::now()
                    }
                    Some(due) => {
                        tokio::time::sleep_until(due).await;
                        due.max(Instant::now() - BURST)
                    }
                };
                let count = piece.clamp(1, range.end - range.start);
                let bytes = pattern.bytes(range.start, count as usize);
                let due = due + Duration::from_secs_f64(bytes.len() as f64 / rate);
                let rest = range.start + bytes.len() as u64..range.end;
                Some((Ok(bytes), (rest, Some(due))))
            }
        })
    }
}

fn log_first_byte(key: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanoseconds = now.unwrap_or_default().as_nanos();
    // Whoever started the store may not listen any more.
    let _ = writeln!(std::io::stdout(), "{nanoseconds} {key}");
}
