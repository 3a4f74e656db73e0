//! Origins that send what they must not: each ends in one outcome, and nothing wrong is kept.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use asset_server::config::{Config, Origin, Slicing};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::disk::files;
use crate::support::{
    OriginResponse, TestOrigin, ask, config, eventually, get, header, noise, ok, start, status,
    with_disk,
};

const SLICE: usize = 256 << 10;

/// An origin that answers every request with these bytes and closes the connection; how often it did.
async fn raw(answer: Vec<u8>) -> (Config, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address: SocketAddr = listener.local_addr().expect("an address");
    let (answer, asked) = (Arc::new(answer), Arc::new(AtomicUsize::new(0)));
    let count = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (answer, count) = (answer.clone(), count.clone());
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match socket.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                if head.starts_with(b"GET") {
                    count.fetch_add(1, Ordering::SeqCst);
                }
                let _ = socket.write_all(&answer).await;
                let _ = socket.shutdown().await;
            });
        }
    });
    let url = format!("http://{address}/").parse().expect("a URL");
    let mut config = config(Origin::Http { url });
    config.origin.attempts = 1;
    config.origin.breaker_failures = 0;
    (config, asked)
}

/// Status and body; `None` where the body breaks off, with what had come by then.
async fn read(answer: Response<asset_server::AssetBody>) -> (u16, Result<Vec<u8>, Vec<u8>>) {
    let (parts, mut body) = answer.into_parts();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Err(_) => return (parts.status.as_u16(), Err(bytes)),
        }
    }
    (parts.status.as_u16(), Ok(bytes))
}

#[tokio::test]
async fn a_redirect_loop_is_the_clients_to_follow() {
    let origin = TestOrigin::start(|_| async {
        let mut response = status(302);
        let location = http::HeaderValue::from_static("/assets/loop");
        response.headers_mut().insert("location", location);
        response
    })
    .await;
    let server = start(config(origin.config())).await;
    for asked in 1..=2 {
        let (status, headers, _) = get(&server, "/assets/loop", &[]).await;
        assert_eq!(status, StatusCode::FOUND);
        assert_eq!(header(&headers, "location"), "/assets/loop");
        assert_eq!(origin.seen.count(&Method::GET, "/loop"), asked);
    }
}

#[tokio::test]
async fn bodies_of_another_length_than_announced_never_look_whole() {
    let whole = |text: &str| Ok(text.as_bytes().to_vec());
    let cut = |text: &str| Err(text.as_bytes().to_vec());
    for (answer, expected, asked) in [
        // Shorter than announced, and not kept.
        (
            "200 OK\r\ncontent-length: 10\r\n\r\n01234",
            (200, cut("01234")),
            2,
        ),
        // Longer: what is beyond the length belongs to no response (RFC 9112 section 6.3).
        (
            "200 OK\r\ncontent-length: 5\r\n\r\n0123456789",
            (200, whole("01234")),
            1,
        ),
        // A chunk that breaks off, and an end that never comes.
        (
            "200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\n01234",
            (200, cut("01234")),
            2,
        ),
        (
            "200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n01234\r\n",
            (200, cut("01234")),
            2,
        ),
        // An error that breaks off in its middle stays that error.
        (
            "500 No\r\ncontent-length: 10\r\n\r\n01234",
            (500, cut("01234")),
            2,
        ),
    ] {
        let answer = format!("HTTP/1.1 {answer}");
        let (config, count) = raw(answer.clone().into_bytes()).await;
        let server = start(config).await;
        for _ in 0..2 {
            let outcome = read(ask(&server, "/assets/x", &[]).await).await;
            assert_eq!(outcome, expected, "{answer:?}");
        }
        assert_eq!(count.load(Ordering::SeqCst), asked, "{answer:?}");
    }
}

#[tokio::test]
async fn heads_that_are_no_http_are_a_bad_gateway() {
    let too_many: String = (0..2000).map(|n| format!("x-{n}: 1\r\n")).collect();
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n01234",
        "HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n01234",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n01234",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx y: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: \u{1}\0\r\n\r\n",
        &format!("HTTP/1.1 200 OK\r\n{too_many}\r\n"),
        &format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(1 << 20)),
        "200 OK\r\n\r\n",
        "",
    ] {
        let (config, _) = raw(answer.as_bytes().to_vec()).await;
        let server = start(config).await;
        let (status, headers, body) = get(&server, "/assets/x", &[]).await;
        let shown: String = answer.chars().take(60).collect();
        assert_eq!(status, StatusCode::BAD_GATEWAY, "{shown:?}");
        assert_eq!(header(&headers, "content-type"), "application/problem+json");
        assert!(
            !String::from_utf8_lossy(&body).contains("127.0.0.1"),
            "{shown:?}"
        );
    }
}

/// An answer without an end and without a length; `gone` once nobody takes it any more.
fn endless(gone: Arc<AtomicBool>) -> OriginResponse {
    struct Gone(Arc<AtomicBool>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let piece = Bytes::from(noise(1, 64 << 10));
    let gone = Gone(gone);
    let pieces = stream::repeat_with(move || {
        let _held = &gone;
        Ok(Frame::data(piece.clone()))
    });
    // Not all at once: a reader must be able to leave in between.
    let pieces = pieces.then(|piece| async {
        tokio::task::yield_now().await;
        piece
    });
    let mut response = Response::new(StreamBody::new(pieces).boxed_unsync());
    let lifetime = http::HeaderValue::from_static("max-age=60");
    response.headers_mut().insert("cache-control", lifetime);
    response
}

#[tokio::test]
async fn an_endless_body_without_a_disk_ends_with_its_reader() {
    let gone = Arc::new(AtomicBool::new(false));
    let seen = gone.clone();
    let origin = TestOrigin::start(move |request| {
        let gone = (request.method() == Method::GET).then(|| seen.clone());
        async move { gone.map_or_else(|| status(200), endless) }
    })
    .await;
    let server = start(config(origin.config())).await;
    let answer = ask(&server, "/assets/x", &[]).await;
    assert!(header(answer.headers(), "cache-status").contains("fwd=bypass"));
    let mut body = answer.into_body();
    let mut read = 0;
    while read < 8 << 20 {
        let frame = body.frame().await.expect("a frame").expect("no error");
        read += frame.data_ref().map_or(0, Bytes::len);
    }
    assert!(!gone.load(Ordering::SeqCst));
    drop(body);
    eventually(|| gone.load(Ordering::SeqCst)).await;
}

#[tokio::test]
async fn an_endless_body_ends_at_half_of_the_disk_and_pushes_nothing_else_out() {
    let gone = Arc::new(AtomicBool::new(false));
    let seen = gone.clone();
    let origin = TestOrigin::start(move |request| {
        let is_endless = request.method() == Method::GET && request.uri().path() == "/x";
        let gone = is_endless.then(|| seen.clone());
        async move { gone.map_or_else(|| ok(&[], vec![7; 3 << 20]), endless) }
    })
    .await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let mut config = with_disk(config(origin.config()), directory.path());
    config.memory.max_object = 1 << 20;
    config.disk.as_mut().expect("a disk").size = 8 << 20;
    let server = start(config).await;
    let kept = get(&server, "/assets/y", &[]).await.2;
    assert_eq!(kept.len(), 3 << 20);
    eventually(|| files(directory.path()).len() == 1).await;
    let (status, body) = read(ask(&server, "/assets/x", &[]).await).await;
    let read = body.expect_err("it must not look whole").len();
    assert_eq!(status, 200);
    // The pieces that did not fit on disk were in memory already.
    assert!(read <= 5 << 20, "{read}");
    eventually(|| gone.load(Ordering::SeqCst)).await;
    eventually(|| files(directory.path()).len() == 1).await;
    let (_, headers, body) = get(&server, "/assets/y", &[]).await;
    assert!(
        body.len() == 3 << 20
            && headers["cache-status"]
                .to_str()
                .unwrap_or("")
                .contains("hit"),
        "{headers:?}"
    );
}

fn sliced(mut config: Config) -> Config {
    config.slices = Slicing {
        size: SLICE as u64,
        read_ahead: 4,
    };
    for mount in &mut config.mounts {
        mount.slices = true;
    }
    config
}

/// The bytes that `Range` asks for, as `Content-Range` has it, with what a test adds.
fn part_of(
    object: &[u8],
    range: Option<&http::HeaderValue>,
    headers: &[(&str, &str)],
) -> OriginResponse {
    let asked = range.and_then(|range| {
        let (first, last) = range
            .to_str()
            .ok()?
            .strip_prefix("bytes=")?
            .split_once('-')?;
        let last: usize = last.parse().ok()?;
        Some(first.parse().ok()?..(last + 1).min(object.len()))
    });
    let Some(range) = asked else {
        return ok(headers, object.to_vec());
    };
    let content_range = format!("bytes {}-{}/{}", range.start, range.end - 1, object.len());
    let mut response = ok(headers, object[range].to_vec());
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    response
        .headers_mut()
        .entry("content-range")
        .or_insert(content_range.parse().expect("a value"));
    response
}

#[tokio::test]
async fn a_large_object_without_a_strong_tag_is_fetched_whole() {
    let object = noise(40, 5 * SLICE + 1);
    for tag in [None, Some(("etag", "W/\"a\"")), Some(("etag", "a"))] {
        let (served, headers) = (object.clone(), tag.map_or_else(Vec::new, |tag| vec![tag]));
        let origin = TestOrigin::start(move |request| {
            let answer = part_of(&served, request.headers().get("range"), &headers);
            async move { answer }
        })
        .await;
        let server = start(sliced(config(origin.config()))).await;
        for gets in [2, 2] {
            let (status, _, body) = get(&server, "/assets/x", &[]).await;
            assert_eq!(status, StatusCode::OK, "{tag:?}");
            assert!(body == object, "{tag:?}");
            assert_eq!(origin.seen.count(&Method::GET, "/x"), gets, "{tag:?}");
        }
        assert_eq!(header(&origin.seen.last("/x"), "range"), "", "{tag:?}");
        let (status, _, body) = get(&server, "/assets/x", &[("range", "bytes=-3")]).await;
        assert_eq!(status, StatusCode::PARTIAL_CONTENT);
        assert!(body == object[object.len() - 3..]);
    }
}

#[tokio::test]
async fn an_object_that_changes_with_every_request_is_cut_and_never_mixed() {
    let versions: Arc<Vec<Vec<u8>>> = Arc::new((0..4).map(|n| noise(50 + n, 6 * SLICE)).collect());
    for obeys in [true, false] {
        let (served, count) = (versions.clone(), AtomicUsize::new(0));
        let origin = TestOrigin::start(move |request| {
            let version = count.fetch_add(1, Ordering::SeqCst) % served.len();
            let tag = format!("\"v{version}\"");
            let wanted = request.headers().get("if-match");
            let changed = wanted.is_some_and(|wanted| wanted.as_bytes() != tag.as_bytes());
            let answer = match changed && obeys {
                true => status(412),
                false => {
                    let range = request.headers().get("range");
                    part_of(&served[version], range, &[("etag", &tag)])
                }
            };
            async move { answer }
        })
        .await;
        let server = start(sliced(config(origin.config()))).await;
        let (status, body) = read(ask(&server, "/assets/x", &[]).await).await;
        assert_eq!(status, 200);
        let read = body.expect_err("no version can be completed");
        let is_pure = versions.iter().any(|version| version.starts_with(&read));
        assert!(
            is_pure,
            "{} bytes are of several versions, obeys: {obeys}",
            read.len()
        );
    }
}

#[tokio::test]
async fn a_content_range_that_lies_is_a_bad_gateway_where_the_range_is_ours() {
    let object = noise(60, 3 * SLICE);
    for lie in [
        "bytes 100-200/786432",
        "bytes 262144-524287/786432",
        "bytes 0-262143",
        "bytes */786432",
        "lines 0-262143/786432",
    ] {
        let served = object.clone();
        let origin = TestOrigin::start(move |request| {
            let headers = [("etag", "\"a\""), ("content-range", lie)];
            let answer = part_of(&served, request.headers().get("range"), &headers);
            async move { answer }
        })
        .await;
        let server = start(sliced(config(origin.config()))).await;
        let (status, body) = read(ask(&server, "/assets/x", &[]).await).await;
        assert_eq!((status, body.is_ok()), (502, true), "{lie}");
    }
}

#[tokio::test]
async fn a_part_that_contradicts_itself_is_passed_on_but_not_kept() {
    let origin = TestOrigin::start(|_| async {
        let headers = [
            ("content-range", "bytes 0-9/10"),
            ("cache-control", "max-age=60"),
            ("etag", "\"a\""),
        ];
        let mut response = ok(&headers, "01234");
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        response
    })
    .await;
    let server = start(config(origin.config())).await;
    for asked in 1..=2 {
        let (status, headers, body) = get(&server, "/assets/x", &[("range", "bytes=0-9")]).await;
        assert_eq!(status, StatusCode::PARTIAL_CONTENT);
        assert_eq!(header(&headers, "content-range"), "bytes 0-9/10");
        assert_eq!(body, "01234");
        assert_eq!(origin.seen.count(&Method::GET, "/x"), asked);
    }
}
