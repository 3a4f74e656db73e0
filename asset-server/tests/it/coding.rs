//! Forms of an object: coded on the fly, compressed by a build, and their digests.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use asset_server::AssetServer;
use asset_server::cache::purge::Purge;
use asset_server::config::{Compression, Config, Delivery, Origin};
use asset_server::respond::coding::Coding;
use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use prometheus::Registry;
use tokio::sync::mpsc;

use crate::support::{
    Store, TestOrigin, ask, ask_as, config, eventually, get, header, metric, ok, start, status,
    with_disk,
};

const BROWSER: (&str, &str) = ("accept-encoding", "gzip, deflate, br, zstd");

fn compressing(origin: Origin) -> Config {
    let mut config = config(origin);
    config.mounts[0].delivery.compress = Some(Compression::default());
    config
}

fn text(length: usize, word: &str) -> Vec<u8> {
    let lines = (0..).flat_map(|line: usize| format!("{word} {line}\n").into_bytes());
    lines.take(length).collect()
}

/// The bytes that a client ends up with.
fn decoded(headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match header(headers, "content-encoding") {
        "zstd" => zstd::stream::read::Decoder::new(body)
            .and_then(|mut decoder| decoder.read_to_end(&mut plain)),
        "br" => brotli::Decompressor::new(body, 4096).read_to_end(&mut plain),
        "gzip" => flate2::read::GzDecoder::new(body).read_to_end(&mut plain),
        "" => return body.to_vec(),
        other => Err(std::io::Error::other(format!("an unknown coding: {other}"))),
    }
    .expect("well-formed");
    plain
}

async fn purge(server: &AssetServer, path: &str) {
    server.purge(&Purge::Key(path.into())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_client_gets_what_it_accepts_from_one_fetch_and_one_coding_each() {
    let store = Store::start().await;
    let object = Arc::new(text(300_000, "tensor"));
    store.put("app.js", &object);
    let registry = Registry::new();
    let server = AssetServer::start(compressing(store.config()), &registry)
        .await
        .expect("a server");
    let clients = [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate, br", "br"),
        ("gzip", "gzip"),
        ("zstd;q=0, br;q=0.5, gzip;q=0.8", "gzip"),
        ("identity", ""),
        ("gzip;q=0", ""),
        ("gzip;q=0.5, identity", ""),
    ];
    let asked = (0..70).map(|i| {
        let (server, object) = (server.clone(), object.clone());
        let (accepted, coding) = clients[i % clients.len()];
        tokio::spawn(async move {
            let fields = [("accept-encoding", accepted)];
            let (status, headers, body) = get(&server, "/assets/app.js", &fields).await;
            assert_eq!(status, StatusCode::OK);
            assert_eq!(header(&headers, "content-encoding"), coding, "{accepted}");
            assert_eq!(header(&headers, "vary"), "accept-encoding", "{accepted}");
            assert!(decoded(&headers, &body) == object[..], "{accepted}");
            let tag = header(&headers, "etag").to_owned();
            assert!(tag.starts_with('"'), "{tag}");
            (coding, tag, body)
        })
    });
    let mut first: std::collections::HashMap<&str, (String, Bytes)> = Default::default();
    for client in join_all(asked).await {
        let (coding, tag, body) = client.expect("its bytes");
        let known = first.entry(coding).or_insert((tag.clone(), body.clone()));
        assert_eq!(
            known,
            &(tag, body),
            "{coding}: one tag, one sequence of bytes"
        );
    }
    let tags: std::collections::HashSet<_> = first.values().map(|(tag, _)| tag).collect();
    assert_eq!(tags.len(), 4, "each coding has its own");
    assert_eq!(store.gets("app.js"), 1);
    assert_eq!(metric(&registry, "asset_server_coded_objects_total"), 3.0);
    let (_, headers, body) = get(&server, "/assets/app.js", &[BROWSER]).await;
    assert_eq!(header(&headers, "content-length"), body.len().to_string());
    assert!(header(&headers, "cache-status").contains("; hit"));
}

#[tokio::test]
async fn what_is_not_worth_it_or_not_wanted_goes_out_as_it_is() {
    let origin = TestOrigin::start(|request| async move {
        let (content_type, control, coding, length) = match request.uri().path() {
            "/fixed" => ("text/css", "max-age=60, no-transform", "", 5000),
            "/short" => ("text/css", "max-age=60", "", 1023),
            "/image" => ("image/png", "max-age=60", "", 5000),
            "/coded" => ("text/css", "max-age=60", "gzip", 5000),
            _ => ("text/css", "max-age=60", "", 5000),
        };
        let mut fields = vec![("content-type", content_type), ("cache-control", control)];
        if !coding.is_empty() {
            fields.push(("content-encoding", coding));
        }
        ok(&fields, text(length, "rule"))
    })
    .await;
    let server = start(compressing(origin.config())).await;
    for _ in 0..2 {
        for (path, coding) in [
            ("fixed", ""),
            ("short", ""),
            ("image", ""),
            ("coded", "gzip"),
        ] {
            let (_, headers, body) = get(&server, &format!("/assets/{path}"), &[BROWSER]).await;
            assert_eq!(header(&headers, "content-encoding"), coding, "{path}");
            assert!(!headers.contains_key("vary"), "{path}: never coded by us");
            assert!(body.starts_with(b"rule 0\n"), "{path}");
        }
        let untouched = [BROWSER, ("cache-control", "no-transform")];
        let (_, headers, _) = get(&server, "/assets/style", &untouched).await;
        assert!(!headers.contains_key("content-encoding"));
        assert_eq!(header(&headers, "vary"), "accept-encoding");
        let range = [BROWSER, ("range", "bytes=0-3")];
        let (status, headers, body) = get(&server, "/assets/style", &range).await;
        assert_eq!((status.as_u16(), &body[..]), (206, &b"rule"[..]), "plain");
        assert!(!headers.contains_key("content-encoding"));
        assert_eq!(header(&headers, "vary"), "accept-encoding");
        let (_, headers, _) = get(&server, "/assets/style", &[BROWSER]).await;
        assert_eq!(header(&headers, "content-encoding"), "zstd");
    }
}

#[tokio::test]
async fn conditions_and_head_are_about_the_coded_form() {
    let store = Store::start().await;
    store.put("a.css", &text(5000, "rule"));
    let registry = Registry::new();
    let server = AssetServer::start(compressing(store.config()), &registry)
        .await
        .expect("a server");
    let (_, headers, _) = get(&server, "/assets/a.css", &[]).await;
    let plain = header(&headers, "etag").to_owned();
    let coded = format!("{}-zstd\"", plain.trim_end_matches('"'));
    for made in [0.0, 1.0] {
        let condition = [BROWSER, ("if-none-match", &*coded)];
        let (status, headers, body) = get(&server, "/assets/a.css", &condition).await;
        assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0));
        assert_eq!(header(&headers, "etag"), coded);
        assert_eq!(header(&headers, "vary"), "accept-encoding");
        let response = ask_as(&server, Method::HEAD, "/assets/a.css", &[BROWSER]).await;
        assert_eq!(header(response.headers(), "content-encoding"), "zstd");
        assert_eq!(header(response.headers(), "etag"), coded);
        let known = response.headers().contains_key("content-length");
        assert_eq!(known, made == 1.0, "only once it is made");
        let coded_objects = metric(&registry, "asset_server_coded_objects_total");
        assert_eq!(
            coded_objects, made,
            "nothing is made for who needs no bytes"
        );
        let condition = [BROWSER, ("if-none-match", &*plain)];
        let (status, headers, _) = get(&server, "/assets/a.css", &condition).await;
        assert_eq!(status, StatusCode::OK, "it has another form");
        assert_eq!(header(&headers, "etag"), coded);
    }
}

#[tokio::test]
async fn a_form_survives_a_restart_and_a_purge_takes_it() {
    let store = Store::start().await;
    let directory = tempfile::TempDir::new().expect("a directory");
    store.put("a.css", &text(200_000, "old"));
    for made in [1.0, 0.0] {
        let registry = Registry::new();
        let config = with_disk(compressing(store.config()), directory.path());
        let server = AssetServer::start(config, &registry)
            .await
            .expect("a server");
        let (_, headers, body) = get(&server, "/assets/a.css", &[BROWSER]).await;
        assert!(decoded(&headers, &body) == text(200_000, "old"));
        assert_eq!(header(&headers, "content-encoding"), "zstd");
        assert_eq!(metric(&registry, "asset_server_coded_objects_total"), made);
        if made == 1.0 {
            eventually(|| crate::disk::files(directory.path()).len() == 2).await;
            crate::disk::stop(server, directory.path()).await;
            continue;
        }
        store.put("a.css", &text(200_000, "new"));
        purge(&server, "/assets/a.css").await;
        let (_, headers, body) = get(&server, "/assets/a.css", &[BROWSER]).await;
        assert!(decoded(&headers, &body) == text(200_000, "new"));
    }
    assert_eq!(store.gets("a.css"), 2);
}

#[tokio::test]
async fn a_confirmed_object_keeps_its_form_and_a_new_one_gets_another() {
    for tagged in [true, false] {
        let version = Arc::new(AtomicUsize::new(1));
        let current = version.clone();
        let origin = TestOrigin::start(move |request| {
            let version = current.load(Ordering::SeqCst);
            async move {
                let tag = format!("\"v{version}\"");
                let known = request.headers().get("if-none-match");
                if known.is_some_and(|known| known == tag.as_str()) {
                    return status(304);
                }
                let mut fields = vec![("cache-control", "max-age=0"), ("content-type", "text/css")];
                fields.push(match tagged {
                    true => ("etag", &tag),
                    false => ("last-modified", "Mon, 02 Nov 2026 12:00:00 GMT"),
                });
                ok(&fields, text(5000, &format!("version {version}")))
            }
        })
        .await;
        let registry = Registry::new();
        let server = AssetServer::start(compressing(origin.config()), &registry)
            .await
            .expect("a server");
        for (now, coded) in [(1, 1.0), (1, 1.0), (2, 2.0), (2, 2.0)] {
            version.store(now, Ordering::SeqCst);
            let (_, headers, body) = get(&server, "/assets/x", &[BROWSER]).await;
            assert_eq!(header(&headers, "content-encoding"), "zstd");
            assert!(decoded(&headers, &body) == text(5000, &format!("version {now}")));
            if tagged {
                assert_eq!(header(&headers, "etag"), format!("\"v{now}-zstd\""));
                assert_eq!(metric(&registry, "asset_server_coded_objects_total"), coded);
            }
        }
    }
}

#[tokio::test]
async fn the_first_coded_bytes_leave_while_the_object_arrives() {
    let (sender, receiver) = mpsc::unbounded_channel::<Bytes>();
    let receiver = Arc::new(std::sync::Mutex::new(Some(receiver)));
    let origin = TestOrigin::start(move |request| {
        let receiver = match *request.method() {
            Method::GET => receiver.lock().expect("no panic").take(),
            _ => None,
        };
        async move {
            let Some(receiver) = receiver else {
                return status(500);
            };
            let pieces = futures_util::stream::unfold(receiver, |mut receiver| async {
                let piece = receiver.recv().await?;
                Some((Ok(http_body::Frame::data(piece)), receiver))
            });
            let mut response = http::Response::new(StreamBody::new(pieces).boxed_unsync());
            for (name, value) in [("content-length", "100000"), ("content-type", "text/css")] {
                let value = http::HeaderValue::from_static(value);
                response.headers_mut().insert(name, value);
            }
            response
        }
    })
    .await;
    let server = start(compressing(origin.config())).await;
    let object = text(100_000, "rule");
    sender
        .send(Bytes::copy_from_slice(&object[..10_000]))
        .expect("sent");
    let (parts, mut body) = ask(&server, "/assets/x", &[BROWSER]).await.into_parts();
    let frame = body.frame().await.expect("a frame").expect("no error");
    let mut coded = frame.into_data().expect("data").to_vec();
    assert!(!coded.is_empty(), "before the rest has arrived");
    sender
        .send(Bytes::copy_from_slice(&object[10_000..]))
        .expect("sent");
    drop(sender);
    coded.extend(body.collect().await.expect("a whole body").to_bytes());
    assert!(decoded(&parts.headers, &coded) == object);
}

#[tokio::test]
async fn an_object_in_slices_is_coded_too() {
    let store = Store::start().await;
    let object = text(5 << 20, "row");
    store.put("a.csv", &object);
    let server = start(compressing(store.config())).await;
    for _ in 0..2 {
        let (_, headers, body) = get(&server, "/assets/a.csv", &[BROWSER]).await;
        assert_eq!(header(&headers, "content-encoding"), "zstd");
        assert!(decoded(&headers, &body) == object);
    }
    assert_eq!(store.gets("a.csv"), 2, "each slice once");
}

#[tokio::test]
async fn a_sibling_is_sent_in_place_of_the_plain_object() {
    let store = Store::start().await;
    store.put("app.js", b"plain");
    store.put("app.js.br", b"as if by brotli");
    let mut config = config(store.config());
    config.mounts[0].delivery.precompressed = true;
    let server = start(config).await;
    for _ in 0..2 {
        let (_, headers, body) = get(&server, "/assets/app.js", &[BROWSER]).await;
        assert_eq!(&body[..], b"as if by brotli");
        for (name, value) in [
            ("content-encoding", "br"),
            ("content-type", "text/javascript; charset=utf-8"),
            ("vary", "accept-encoding"),
            ("content-length", "15"),
            ("accept-ranges", ""),
        ] {
            assert_eq!(header(&headers, name), value, "{name}");
        }
        let tag = header(&headers, "etag").to_owned();
        let condition = [BROWSER, ("if-none-match", &*tag)];
        let (status, headers, _) = get(&server, "/assets/app.js", &condition).await;
        assert_eq!(status, StatusCode::NOT_MODIFIED);
        assert_eq!(header(&headers, "vary"), "accept-encoding");
        let response = ask_as(&server, Method::HEAD, "/assets/app.js", &[BROWSER]).await;
        assert_eq!(header(response.headers(), "content-encoding"), "br");
        let gzip = [("accept-encoding", "gzip")];
        let range = [BROWSER, ("range", "bytes=0-4")];
        for fields in [&gzip[..], &range, &[]] {
            let (_, headers, body) = get(&server, "/assets/app.js", fields).await;
            assert_eq!(&body[..], b"plain", "{fields:?}");
            assert!(!headers.contains_key("content-encoding"));
            assert_eq!(header(&headers, "vary"), "accept-encoding");
        }
    }
    let gets = |key| store.gets(key);
    assert_eq!(
        (gets("app.js"), gets("app.js.br"), gets("app.js.gz")),
        (1, 1, 1)
    );
    store.put("app.js.br", b"another");
    purge(&server, "/assets/app.js").await;
    let (_, _, body) = get(&server, "/assets/app.js", &[BROWSER]).await;
    assert_eq!(&body[..], b"another");
}

#[tokio::test]
async fn head_of_a_cold_sibling_describes_it() {
    let store = Store::start().await;
    store.put("app.js", b"plain");
    store.put("app.js.gz", b"gzipped");
    let mut config = config(store.config());
    config.mounts[0].delivery.precompressed = true;
    let server = start(config).await;
    let response = ask_as(&server, Method::HEAD, "/assets/app.js", &[BROWSER]).await;
    assert_eq!(header(response.headers(), "content-encoding"), "gzip");
    assert_eq!(header(response.headers(), "content-length"), "7");
}

#[tokio::test]
async fn what_has_no_sibling_is_coded_on_the_fly() {
    let store = Store::start().await;
    store.put("app.js", &text(5000, "let"));
    let mut config = compressing(store.config());
    config.mounts[0].delivery.precompressed = true;
    config.mounts[0].delivery.compress = Some(Compression {
        codings: vec![Coding::Gzip],
        ..Compression::default()
    });
    let server = start(config).await;
    for _ in 0..3 {
        let (_, headers, body) = get(&server, "/assets/app.js", &[BROWSER]).await;
        assert_eq!(header(&headers, "content-encoding"), "gzip");
        assert!(decoded(&headers, &body) == text(5000, "let"));
    }
    assert_eq!(store.gets("app.js"), 1);
    assert_eq!(store.gets("app.js.br"), 1, "its absence is remembered");
}

#[tokio::test]
async fn who_wants_a_digest_is_told_that_of_the_form_it_gets() {
    let store = Store::start().await;
    let object = text(300_000, "let");
    store.put("app.js", &object);
    let mut config = compressing(store.config());
    config.mounts[0].delivery = Delivery {
        digests: true,
        ..config.mounts[0].delivery.clone()
    };
    let server = start(config).await;
    let digest = |bytes: &[u8]| {
        let mut digester = asset_server::respond::digest::Digester::new();
        digester.update(bytes);
        digester.finish().field().to_str().expect("text").to_owned()
    };
    let (repr, content) = (
        ("want-repr-digest", "sha-256=5"),
        ("want-content-digest", "sha-256=1"),
    );
    for _ in 0..2 {
        for accepted in ["identity", "br"] {
            let coding = ("accept-encoding", accepted);
            let (_, headers, body) = get(&server, "/assets/app.js", &[repr, content, coding]).await;
            assert_eq!(header(&headers, "repr-digest"), digest(&body), "{accepted}");
            assert_eq!(
                header(&headers, "content-digest"),
                digest(&body),
                "{accepted}"
            );
            assert!(decoded(&headers, &body) == object);
        }
        let (status, headers, _) = get(
            &server,
            "/assets/app.js",
            &[repr, content, ("range", "bytes=1-5")],
        )
        .await;
        assert_eq!(status, StatusCode::PARTIAL_CONTENT);
        assert_eq!(
            header(&headers, "repr-digest"),
            digest(&object),
            "of the whole"
        );
        assert!(!headers.contains_key("content-digest"));
        let (_, headers, _) = get(&server, "/assets/app.js", &[]).await;
        assert!(!headers.contains_key("repr-digest") && !headers.contains_key("content-digest"));
    }
}
