//! Writes through the edge: who may, what is stored, and that nobody is given the old object afterwards.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use asset_server::config::{Config, Origin, Peer, Writes};
use asset_server::{AssetServer, RequestBody};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use serving::secret::Secret;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::{
    Store, TestOrigin, config, eventually, get, header, no_body, noise, ok, start,
};

const TOKEN: (&str, &str) = ("authorization", "Bearer let-me");

fn writable(origin: Origin) -> Config {
    let mut config = config(origin);
    config.mounts[0].writes = Some(Writes::new(Secret::new("let-me")));
    config
}

type Answer = (StatusCode, HeaderMap, Bytes);

async fn send(
    server: &AssetServer,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: RequestBody,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).expect("a request").into_parts();
    let (parts, body) = server.respond(&parts, || body).await.into_parts();
    (
        parts.status,
        parts.headers,
        body.collect().await.expect("a body").to_bytes(),
    )
}

fn body(bytes: impl Into<Bytes>) -> RequestBody {
    asset_server::request_body(Full::new(bytes.into()))
}

/// A PUT by somebody who may.
async fn put(server: &AssetServer, path: &str, headers: &[(&str, &str)], bytes: &[u8]) -> Answer {
    let headers = [&[TOKEN], headers].concat();
    send(server, Method::PUT, path, &headers, body(bytes.to_vec())).await
}

fn reason(answer: &Answer) -> String {
    let problem: Value = serde_json::from_slice(&answer.2).unwrap_or_default();
    problem["reason"].as_str().unwrap_or_default().to_owned()
}

/// The tag of an XML answer.
fn element(answer: &Answer, name: &str) -> String {
    let text = String::from_utf8_lossy(&answer.2).into_owned();
    let (_, rest) = text.split_once(&format!("<{name}>")).expect("the element");
    rest.split('<').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn what_is_written_is_seen_at_once_although_the_old_one_was_fresh() {
    let store = Store::start().await;
    let server = start(writable(store.config())).await;
    let new = put(
        &server,
        "/assets/a%20b/x",
        &[("content-type", "text/css")],
        b"first",
    )
    .await;
    assert_eq!(new.0, StatusCode::CREATED, "{new:?}");
    assert_eq!(header(&new.1, "location"), "/assets/a%20b/x");
    let (_, headers, first) = get(&server, "/assets/a%20b/x", &[]).await;
    assert_eq!(
        (header(&headers, "content-type"), &first[..]),
        ("text/css", &b"first"[..])
    );
    let (_, cached, _) = get(&server, "/assets/a%20b/x", &[]).await;
    assert!(
        header(&cached, "cache-status").contains("hit"),
        "{cached:?}"
    );

    let headers = [
        ("cache-control", "max-age=7"),
        ("x-amz-meta-owner", "ml"),
        ("content-language", "en"),
    ];
    let replaced = put(&server, "/assets/a%20b/x", &headers, b"second").await;
    assert_eq!(replaced.0, StatusCode::OK, "{replaced:?}");
    assert_eq!(header(&replaced.1, "edge-purge"), "complete");
    let (_, seen, second) = get(&server, "/assets/a%20b/x", &[]).await;
    assert_eq!(second, "second");
    assert_eq!(header(&seen, "etag"), header(&replaced.1, "etag"));
    assert!(
        header(&seen, "cache-control").contains("max-age=7"),
        "{seen:?}"
    );
    assert_eq!(header(&seen, "content-language"), "en");
    let receipt: Value = serde_json::from_slice(&replaced.2).expect("JSON");
    assert_eq!(
        (&receipt["path"], &receipt["size"]),
        (&"/assets/a b/x".into(), &6.into())
    );
    // That there was none is forgotten, too.
    assert_eq!(
        get(&server, "/assets/y", &[]).await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        put(&server, "/assets/y", &[], b"").await.0,
        StatusCode::CREATED
    );
    assert_eq!(get(&server, "/assets/y", &[]).await.0, StatusCode::OK);
}

/// An instance that others can tell of purges.
async fn instance(
    mut config: Config,
    region: &str,
    peers: &[SocketAddr],
) -> (AssetServer, SocketAddr) {
    config.region = region.into();
    config.purge.token = Some(Secret::new("secret"));
    let peer = |address: &SocketAddr| Peer {
        region: "other".into(),
        url: format!("http://{address}"),
    };
    config.purge.peers = peers.iter().map(peer).collect();
    let server = start(config).await;
    let router = serving::admin::require_token(server.admin_router(), Some(Secret::new("secret")));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    (server, address)
}

#[tokio::test]
async fn the_other_region_has_forgotten_the_old_object_before_the_writer_hears_of_success() {
    let store = Store::start().await;
    store.put("x", b"old");
    let (other, address) = instance(config(store.config()), "nyc3", &[]).await;
    let (here, _) = instance(writable(store.config()), "ams3", &[address]).await;
    for server in [&here, &other] {
        assert_eq!(get(server, "/assets/x", &[]).await.2, "old");
    }
    let written = put(&here, "/assets/x", &[], b"new").await;
    assert_eq!(
        (written.0, header(&written.1, "edge-purge")),
        (StatusCode::OK, "complete")
    );
    for server in [&here, &other] {
        assert_eq!(get(server, "/assets/x", &[]).await.2, "new");
    }
    let deleted = send(&here, Method::DELETE, "/assets/x", &[TOKEN], no_body()).await;
    assert_eq!(
        (deleted.0, header(&deleted.1, "edge-purge")),
        (StatusCode::NO_CONTENT, "complete")
    );
    for server in [&here, &other] {
        assert_eq!(get(server, "/assets/x", &[]).await.0, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_region_that_cannot_be_reached_makes_the_purge_pending_not_the_write_fail() {
    let store = Store::start().await;
    store.put("x", b"old");
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = nobody.local_addr().expect("an address");
    drop(nobody);
    let mut config = writable(store.config());
    config.mounts[0].writes.as_mut().expect("writes").wait = Duration::from_millis(50);
    let (here, _) = instance(config, "ams3", &[address]).await;
    assert_eq!(get(&here, "/assets/x", &[]).await.2, "old");
    let written = put(&here, "/assets/x", &[], b"new").await;
    assert_eq!(
        (written.0, header(&written.1, "edge-purge")),
        (StatusCode::OK, "pending")
    );
    assert_eq!(get(&here, "/assets/x", &[]).await.2, "new");
}

#[tokio::test]
async fn a_wrong_checksum_or_condition_leaves_the_old_object() {
    let store = Store::start().await;
    store.put("x", b"old");
    let server = start(writable(store.config())).await;
    let (_, headers, _) = get(&server, "/assets/x", &[]).await;
    let etag = header(&headers, "etag").to_owned();
    let sha = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(b"else")));
    let md5 = STANDARD.encode(md5::Md5::digest(b"else"));
    for (headers, expected) in [
        (("content-digest", sha.as_str()), "bad_digest"),
        (("repr-digest", &sha), "bad_digest"),
        (("content-md5", &md5), "bad_digest"),
        (("content-md5", "no"), "bad_digest"),
        (("if-none-match", "*"), "precondition_failed"),
        (("if-match", "\"other\""), "precondition_failed"),
    ] {
        let refused = put(&server, "/assets/x", &[headers], b"new").await;
        assert_eq!(reason(&refused), expected, "{headers:?} {refused:?}");
        assert_eq!(store.read("x").as_deref(), Some(&b"old"[..]), "{headers:?}");
    }
    let right = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(b"new")));
    let headers = [
        ("if-match", etag.as_str()),
        ("content-digest", right.as_str()),
    ];
    let written = put(&server, "/assets/x", &headers, b"new").await;
    assert_eq!(written.0, StatusCode::OK, "{written:?}");
    let stale = send(
        &server,
        Method::DELETE,
        "/assets/x",
        &[TOKEN, ("if-match", &etag)],
        no_body(),
    )
    .await;
    assert_eq!(stale.0, StatusCode::PRECONDITION_FAILED);
    let etag = header(&written.1, "etag");
    let deleted = send(
        &server,
        Method::DELETE,
        "/assets/x",
        &[TOKEN, ("if-match", etag)],
        no_body(),
    )
    .await;
    assert_eq!(deleted.0, StatusCode::NO_CONTENT, "{deleted:?}");
    assert_eq!(store.read("x"), None);
}

#[tokio::test]
async fn only_the_token_opens_and_what_makes_no_sense_is_refused() {
    let store = Store::start().await;
    store.put("x", b"old");
    let closed = start(config(store.config())).await;
    assert_eq!(
        put(&closed, "/assets/x", &[], b"new").await.0,
        StatusCode::METHOD_NOT_ALLOWED
    );
    let mut limited = writable(store.config());
    limited.mounts[0].writes.as_mut().expect("writes").max_size = 1000;
    limited.mounts.push(asset_server::config::Mount::new(
        "/assets/other/",
        store.config(),
    ));
    let server = start(limited).await;
    for (sent, status, why) in [
        (None, 401, "token_missing"),
        (Some("Basic bGV0LW1l"), 401, "token_missing"),
        (Some("let-me"), 401, "token_missing"),
        (Some("Bearer let-m"), 403, "token_wrong"),
        (Some("Bearer let-me2"), 403, "token_wrong"),
        (Some("Bearer "), 403, "token_wrong"),
    ] {
        let headers: Vec<_> = sent
            .map(|value| ("authorization", value))
            .into_iter()
            .collect();
        for (method, path) in [
            (Method::PUT, "/assets/x"),
            (Method::DELETE, "/assets/x"),
            (Method::POST, "/assets/"),
            (Method::GET, "/assets/x?uploadId=u"),
            (Method::PUT, "/assets/x?acl"),
        ] {
            let answer = send(&server, method.clone(), path, &headers, body("new")).await;
            assert_eq!(
                (answer.0.as_u16(), reason(&answer).as_str()),
                (status, why),
                "{method} {path}"
            );
            let challenge = header(&answer.1, "www-authenticate") == "Bearer";
            assert_eq!(challenge, status == 401, "{method} {path}");
        }
    }
    let long = "x".repeat(1100);
    for (method, path, headers, status) in [
        (Method::PATCH, "/assets/x", &[][..], 405),
        (Method::PUT, "/assets/", &[], 400),
        (Method::PUT, "/assets/d/", &[], 400),
        (Method::PUT, "/assets/.edge/x", &[], 404),
        (Method::PUT, "/assets/../x", &[], 400),
        (Method::PUT, "/assets/a%2Fb", &[], 400),
        (Method::PUT, &format!("/assets/{long}"), &[], 400),
        (Method::PUT, "/assets/x?tagging", &[], 400),
        (Method::PUT, "/assets/x", &[("content-length", "1001")], 413),
        (Method::PUT, "/assets/x", &[("content-length", "4")], 400),
        (
            Method::PUT,
            "/assets/x",
            &[("content-range", "bytes 0-2/3")],
            400,
        ),
        (
            Method::PUT,
            "/assets/x",
            &[("content-encoding", "aws-chunked")],
            501,
        ),
        (
            Method::PUT,
            "/assets/x",
            &[("x-amz-copy-source", "/a/b")],
            501,
        ),
        (Method::PUT, "/assets/x", &[("expires", "soon")], 400),
        (Method::PUT, "/assets/x", &[("if-none-match", "\"a\"")], 400),
        (Method::PUT, "/assets/x?partNumber=1&uploadId=u", &[], 411),
        (Method::POST, "/assets/x?uploadId=u", &[], 400),
        (Method::POST, "/assets/", &[], 400),
        (Method::POST, "/assets/x", &[], 400),
    ] {
        let headers = [&[TOKEN], headers].concat();
        let answer = send(&server, method.clone(), path, &headers, body("new")).await;
        assert_eq!(
            answer.0.as_u16(),
            status,
            "{method} {path} {headers:?} {answer:?}"
        );
        assert_eq!(
            header(&answer.1, "content-type"),
            "application/problem+json"
        );
    }
    // Also when its length is not announced.
    let long = put(&server, "/assets/x", &[], &[b'x'; 1001]).await;
    assert_eq!(
        (long.0.as_u16(), reason(&long).as_str()),
        (413, "too_large")
    );
    assert_eq!(store.read("x").as_deref(), Some(&b"old"[..]));
}

#[tokio::test]
async fn no_store_is_shown_to_a_writer() {
    let store = Store::start().await;
    let server = start(writable(store.config_of("assets", "wrong"))).await;
    let answer = put(&server, "/assets/x", &[], b"new").await;
    let text = String::from_utf8_lossy(&answer.2);
    assert_eq!(answer.0, StatusCode::BAD_GATEWAY, "{text}");
    assert!(
        !text.contains("Signature") && !text.contains("127.0.0.1"),
        "{text}"
    );
}

fn form(parts: &[(&str, &[u8])]) -> (String, Vec<u8>) {
    let mut form = Vec::new();
    for (head, content) in parts {
        form.extend_from_slice(
            format!("--XX\r\nContent-Disposition: form-data; {head}\r\n\r\n").as_bytes(),
        );
        form.extend_from_slice(content);
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(b"--XX--\r\n");
    ("multipart/form-data; boundary=XX".into(), form)
}

#[tokio::test]
async fn a_browsers_form_is_an_upload() {
    let store = Store::start().await;
    let mut config = writable(store.config());
    config.mounts.push(asset_server::config::Mount::new(
        "/assets/other/",
        store.config(),
    ));
    let server = start(config).await;
    let post = async |parts: &[(&str, &[u8])]| {
        let (kind, form) = form(parts);
        send(
            &server,
            Method::POST,
            "/assets/up/",
            &[TOKEN, ("content-type", &kind)],
            body(form),
        )
        .await
    };
    let image = noise(1, 9 << 20);
    let by_name = post(&[(
        "name=\"file\"; filename=\"a b.png\"\r\nContent-Type: image/png",
        &image,
    )])
    .await;
    assert_eq!(by_name.0, StatusCode::CREATED, "{by_name:?}");
    assert_eq!(header(&by_name.1, "location"), "/assets/up/a%20b.png");
    let (_, headers, seen) = get(&server, "/assets/up/a%20b.png", &[]).await;
    assert!(header(&headers, "content-type") == "image/png" && seen == image);
    let by_key = post(&[
        ("name=\"key\"", b"d/100%.txt"),
        ("name=\"file\"; filename=\"x\"", b"text"),
    ])
    .await;
    assert_eq!(
        header(&by_key.1, "location"),
        "/assets/up/d/100%25.txt",
        "{by_key:?}"
    );
    assert_eq!(get(&server, "/assets/up/d/100%25.txt", &[]).await.2, "text");

    let file = ("name=\"file\"; filename=\"no\"", &b"text"[..]);
    for parts in [
        &[][..],
        &[file, file],
        &[("name=\"key\"", b"../../x"), file],
        &[("name=\"key\"", b".edge/x"), file],
        &[("name=\"key\"", b"d/"), file],
        &[("name=\"key\"", b"%2e%2e/x"), file],
        &[file, ("name=\"key\"", b"late")],
    ] {
        let refused = post(parts).await;
        assert_eq!(refused.0, StatusCode::BAD_REQUEST, "{parts:?} {refused:?}");
    }
    let (kind, other) = form(&[("name=\"key\"", b"other/x"), file]);
    let refused = send(
        &server,
        Method::POST,
        "/assets/",
        &[TOKEN, ("content-type", &kind)],
        body(other),
    )
    .await;
    assert_eq!(reason(&refused), "bad_form", "another mount's path");
    assert_eq!(store.read("up/no"), None);
}

#[tokio::test]
async fn an_s3_client_can_upload_in_parts_and_resume() {
    let store = Store::start().await;
    store.put("big", b"old");
    let server = start(writable(store.config())).await;
    assert_eq!(get(&server, "/assets/big", &[]).await.2, "old");
    let ask = async |method: Method, query: &str, headers: &[(&str, &str)], bytes: Vec<u8>| {
        let headers = [&[TOKEN], headers].concat();
        send(
            &server,
            method,
            &format!("/assets/big?{query}"),
            &headers,
            body(bytes),
        )
        .await
    };
    let begun = ask(
        Method::POST,
        "uploads",
        &[("content-type", "model/x")],
        vec![],
    )
    .await;
    assert_eq!(begun.0, StatusCode::OK, "{begun:?}");
    assert_eq!(
        (element(&begun, "Bucket"), element(&begun, "Key")),
        ("assets".into(), "big".into())
    );
    let id = format!("uploadId={}", element(&begun, "UploadId"));
    let whole = noise(3, 11 << 20);
    let (first, second) = whole.split_at(6 << 20);
    let part = async |number: u32, part: &[u8]| {
        let length = part.len().to_string();
        let query = format!("partNumber={number}&{id}");
        ask(
            Method::PUT,
            &query,
            &[("content-length", &length)],
            part.to_vec(),
        )
        .await
    };
    let tags = [part(1, first).await, part(2, second).await]
        .map(|part| header(&part.1, "etag").to_owned());
    // A client that has lost track.
    let listed = ask(Method::GET, &id, &[], vec![]).await;
    assert!(String::from_utf8_lossy(&listed.2).contains(&format!("<Size>{}</Size>", first.len())));
    assert_eq!(get(&server, "/assets/big", &[]).await.2, "old");
    let list: String = tags
        .iter()
        .zip(1..)
        .map(|(tag, number)| {
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>")
        })
        .collect();
    let list = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>").into_bytes();
    let refused = ask(Method::POST, &id, &[("if-none-match", "*")], list.clone()).await;
    assert_eq!(refused.0, StatusCode::PRECONDITION_FAILED, "{refused:?}");
    let complete = ask(Method::POST, &id, &[], list).await;
    assert_eq!(complete.0, StatusCode::OK, "{complete:?}");
    assert_eq!(header(&complete.1, "edge-purge"), "complete");
    assert_eq!(element(&complete, "Location"), "/assets/big");
    assert!(get(&server, "/assets/big", &[]).await.2 == whole);

    let begun = ask(Method::POST, "uploads", &[], vec![]).await;
    let id = format!("uploadId={}", element(&begun, "UploadId"));
    assert_eq!(
        ask(Method::DELETE, &id, &[], vec![]).await.0,
        StatusCode::NO_CONTENT
    );
}

#[tokio::test]
async fn a_directory_takes_writes_too() {
    let root = TempDir::new().expect("a directory");
    let path = root.path().canonicalize().expect("a path");
    let server = start(writable(Origin::Directory { path: path.clone() })).await;
    let headers = [("content-type", "model/x"), ("cache-control", "max-age=5")];
    let written = put(&server, "/assets/d/x", &headers, b"bytes").await;
    assert_eq!(written.0, StatusCode::CREATED, "{written:?}");
    let (_, seen, bytes) = get(&server, "/assets/d/x", &[]).await;
    assert_eq!(
        (header(&seen, "content-type"), &bytes[..]),
        ("model/x", &b"bytes"[..])
    );
    assert_eq!(header(&seen, "etag"), header(&written.1, "etag"));
    let in_parts = send(
        &server,
        Method::POST,
        "/assets/d/x?uploads",
        &[TOKEN],
        no_body(),
    )
    .await;
    assert_eq!(in_parts.0, StatusCode::NOT_IMPLEMENTED, "{in_parts:?}");
    let deleted = send(&server, Method::DELETE, "/assets/d/x", &[TOKEN], no_body()).await;
    assert_eq!(deleted.0, StatusCode::NO_CONTENT);
    assert!(!Path::new(&path).join("d/x").exists());
}

// === Bodies on their way ===

/// A body that is made while it is read, and how much of it has been.
fn made(pieces: usize) -> (RequestBody, Arc<AtomicUsize>) {
    let made = Arc::new(AtomicUsize::new(0));
    let counted = made.clone();
    let frames = (0..pieces).map(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![b'x'; 1 << 20])))
    });
    (
        asset_server::request_body(StreamBody::new(stream::iter(frames))),
        made,
    )
}

#[tokio::test]
async fn a_body_is_not_read_faster_than_the_store_takes_it() {
    let gate = Arc::new(Semaphore::new(0));
    let gated = gate.clone();
    let slow = TestOrigin::start(move |request| {
        let gate = gated.clone();
        async move {
            let query = request.uri().query().unwrap_or_default().to_owned();
            match (request.method().clone(), query.contains("partNumber")) {
                (Method::PUT, true) => {
                    let _ = request.into_body().collect().await;
                    let _ = gate.acquire().await;
                    ok(&[("etag", "\"0123456789abcdef0123456789abcdef\"")], "")
                }
                (Method::POST, _) if query.starts_with("uploads") => ok(&[], "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"),
                (Method::POST, _) => ok(&[], "<CompleteMultipartUploadResult><ETag>\"t-5\"</ETag></CompleteMultipartUploadResult>"),
                _ => crate::support::status(404),
            }
        }
    })
    .await;
    let real = Store::start().await;
    let Origin::S3(mut s3) = real.config() else {
        unreachable!()
    };
    s3.endpoint = format!("http://{}", slow.address);
    let server = start(writable(Origin::S3(s3))).await;
    let (body, made) = made(40);
    let writing =
        tokio::spawn(async move { send(&server, Method::PUT, "/assets/x", &[TOKEN], body).await });
    eventually(|| made.load(Ordering::Relaxed) >= 24).await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    // Two parts in flight and one that waits, of 8 MiB each, and the piece after them.
    assert!(made.load(Ordering::Relaxed) <= 25, "{made:?}");
    gate.add_permits(1000);
    let written = writing.await.expect("no panic");
    assert_eq!(written.0, StatusCode::CREATED, "{written:?}");
    assert_eq!(made.load(Ordering::Relaxed), 40);
}

/// The server behind a real listener, for as long as the set lives.
async fn listen(server: AssetServer) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            let service = TowerToHyperService::new(server.clone());
            connections.spawn(async move {
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = builder
                    .serve_connection(TokioIo::new(socket), service)
                    .await;
            });
        }
    });
    (address, tasks)
}

fn head(rest: &str) -> String {
    format!(
        "PUT /assets/x HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer let-me\r\n{rest}\r\n\r\n"
    )
}

/// How often an upload was begun, completed or not, and how often one was aborted.
fn uploads(store: &Store) -> (usize, usize) {
    let count = |method| store.origin.seen.count(&method, "/assets/x");
    (count(Method::POST), count(Method::DELETE))
}

#[tokio::test]
async fn when_the_client_leaves_half_way_nothing_has_happened() {
    let store = Store::start().await;
    store.put("x", b"old");
    let server = start(writable(store.config())).await;
    assert_eq!(get(&server, "/assets/x", &[]).await.2, "old");
    let (address, mut listening) = listen(server.clone()).await;
    let half = noise(1, 12 << 20);
    for (round, chunked) in [true, false].into_iter().enumerate() {
        let mut socket = TcpStream::connect(address).await.expect("connected");
        if chunked {
            socket
                .write_all(head("Transfer-Encoding: chunked").as_bytes())
                .await
                .expect("sent");
            socket
                .write_all(format!("{:x}\r\n", half.len()).as_bytes())
                .await
                .expect("sent");
            socket.write_all(&half).await.expect("sent");
            socket.write_all(b"\r\n").await.expect("sent");
        } else {
            socket
                .write_all(head("Content-Length: 99999999").as_bytes())
                .await
                .expect("sent");
            socket.write_all(&half).await.expect("sent");
        }
        eventually(|| uploads(&store).0 == round + 1).await;
        drop(socket);
        eventually(|| uploads(&store).1 == round + 1).await;
    }
    // The connection is dropped by this side, which to a body looks like its end.
    let mut socket = TcpStream::connect(address).await.expect("connected");
    socket
        .write_all(head("Transfer-Encoding: chunked").as_bytes())
        .await
        .expect("sent");
    socket
        .write_all(format!("{:x}\r\n", half.len()).as_bytes())
        .await
        .expect("sent");
    socket.write_all(&half).await.expect("sent");
    eventually(|| uploads(&store).0 == 3).await;
    listening.shutdown().await;
    eventually(|| uploads(&store).1 == 3).await;
    // Whoever asked does not wait any more.
    let (endless, _) = made(usize::MAX);
    let asked = tokio::spawn({
        let server = server.clone();
        async move { send(&server, Method::PUT, "/assets/x", &[TOKEN], endless).await }
    });
    eventually(|| uploads(&store).0 == 4).await;
    asked.abort();
    eventually(|| uploads(&store).1 == 4).await;
    assert_eq!(store.read("x").as_deref(), Some(&b"old"[..]));
    let (_, headers, old) = get(&server, "/assets/x", &[]).await;
    assert!(
        old == "old" && header(&headers, "cache-status").contains("hit"),
        "{headers:?}"
    );
}

#[tokio::test]
async fn a_client_may_ask_before_it_sends_the_body() {
    let store = Store::start().await;
    let (address, _listening) = listen(start(writable(store.config())).await).await;
    let expect = "Expect: 100-continue\r\nConnection: close\r\nContent-Length: 3";
    let mut socket = TcpStream::connect(address).await.expect("connected");
    socket
        .write_all(head(expect).as_bytes())
        .await
        .expect("sent");
    let mut first = [0; 25];
    socket
        .read_exact(&mut first)
        .await
        .expect("an interim answer");
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(b"new").await.expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let mut stranger = TcpStream::connect(address).await.expect("connected");
    let refused = head(expect).replace("let-me", "other");
    stranger.write_all(refused.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stranger
        .read_to_string(&mut answer)
        .await
        .expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}
