//! Large objects: fetched and kept in slices, read ahead of, never mixed from two versions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use asset_server::AssetServer;
use asset_server::config::{Config, Slicing};
use futures_util::future::join_all;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use prometheus::Registry;

use crate::support::{
    OriginResponse, Store, TestOrigin, ask, ask_as, config, eventually, get, header, noise, ok,
    settled, start, with_disk,
};

const SLICE: usize = 256 << 10;

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

#[tokio::test]
async fn a_large_object_is_fetched_once_in_slices_and_then_a_hit() {
    let store = Store::start().await;
    let object = noise(1, 5 * SLICE + 1000);
    store.put("model", &object);
    let server = start(sliced(config(store.config()))).await;
    let (status, headers, body) = get(&server, "/assets/model", &[]).await;
    assert_eq!((status, body.len()), (StatusCode::OK, object.len()));
    assert!(body == object);
    assert_eq!(header(&headers, "content-length"), object.len().to_string());
    assert!(header(&headers, "cache-status").contains("fwd=uri-miss; fwd-status=200; stored"));
    assert_eq!(store.gets("model"), 6);
    let (_, headers, body) = get(&server, "/assets/model", &[]).await;
    assert!(body == object);
    assert!(
        header(&headers, "cache-status").contains("; hit"),
        "{headers:?}"
    );
    let head = ask_as(&server, Method::HEAD, "/assets/model", &[]).await;
    assert_eq!(
        header(head.headers(), "content-length"),
        object.len().to_string()
    );
    assert_eq!(store.gets("model"), 6);
}

#[tokio::test]
async fn a_range_in_the_middle_fetches_the_slices_that_it_needs() {
    let store = Store::start().await;
    let object = noise(2, 20 * SLICE);
    store.put("model", &object);
    let server = start(sliced(config(store.config()))).await;
    let (from, to) = (10 * SLICE - 10, 11 * SLICE + 10);
    for _ in 0..2 {
        let range = format!("bytes={from}-{}", to - 1);
        let (status, headers, body) = get(&server, "/assets/model", &[("range", &range)]).await;
        assert_eq!(status, StatusCode::PARTIAL_CONTENT);
        assert!(body == object[from..to]);
        let expected = format!("bytes {from}-{}/{}", to - 1, object.len());
        assert_eq!(header(&headers, "content-range"), expected);
        assert_eq!(store.gets("model"), 3, "slices 9, 10 and 11");
    }
    let (status, _, body) = get(&server, "/assets/model", &[("range", "bytes=-5")]).await;
    assert_eq!(status, StatusCode::PARTIAL_CONTENT);
    assert!(body == object[object.len() - 5..]);
    assert_eq!(store.gets("model"), 4);
    let (status, headers, _) = get(&server, "/assets/model", &[("range", "bytes=99999999-")]).await;
    assert_eq!(status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(
        header(&headers, "content-range"),
        format!("bytes */{}", object.len())
    );
    let several = [("range", "bytes=0-9,3000000-3000009")];
    let (status, _, body) = get(&server, "/assets/model", &several).await;
    assert_eq!(status, StatusCode::PARTIAL_CONTENT);
    let has = |part: &[u8]| body.windows(part.len()).any(|window| window == part);
    assert!(has(&object[..10]) && has(&object[3_000_000..3_000_010]));
}

#[tokio::test]
async fn objects_of_every_size_around_a_slice_arrive_whole() {
    let store = Store::start().await;
    let server = start(sliced(config(store.config()))).await;
    for (i, length) in [0, 1, SLICE - 1, SLICE, SLICE + 1, 2 * SLICE]
        .into_iter()
        .enumerate()
    {
        let (name, object) = (format!("object-{i}"), noise(i as u64, length));
        store.put(&name, &object);
        for range in ["bytes=0-", "bytes=262144-", "bytes=-1"] {
            let path = format!("/assets/{name}?{range}");
            let (status, headers, body) = get(&server, &path, &[]).await;
            assert_eq!(
                (status, body.len()),
                (StatusCode::OK, length),
                "{headers:?}"
            );
            assert!(body == object);
        }
        assert!(store.gets(&name) <= 3, "{length}: {}", store.gets(&name));
    }
    store.put("late", &noise(9, SLICE));
    let (status, ..) = get(&server, "/assets/late", &[("range", "bytes=262144-")]).await;
    assert_eq!(status, StatusCode::RANGE_NOT_SATISFIABLE);
}

#[tokio::test]
async fn many_readers_share_each_slice() {
    let store = Store::start().await;
    let object = noise(3, 8 * SLICE);
    store.put("model", &object);
    let server = start(sliced(config(store.config()))).await;
    let answers = join_all((0..50).map(|_| get(&server, "/assets/model", &[]))).await;
    assert!(
        answers
            .iter()
            .all(|(status, _, body)| *status == 200 && *body == object)
    );
    assert_eq!(store.gets("model"), 8);
}

#[tokio::test]
async fn slices_outlive_a_restart() {
    let store = Store::start().await;
    let object = noise(4, 6 * SLICE);
    store.put("model", &object);
    let directory = tempfile::TempDir::new().expect("a directory");
    let config = with_disk(sliced(config(store.config())), directory.path());
    let first = start(config.clone()).await;
    assert!(get(&first, "/assets/model", &[]).await.2 == object);
    let path = directory.path().to_owned();
    eventually(|| files(&path) == 7).await;
    drop(first);
    eventually(|| std::fs::File::open(path.join("lock")).is_ok_and(|lock| lock.try_lock().is_ok()))
        .await;
    let second = start(config).await;
    for _ in 0..2 {
        let (_, headers, body) = get(&second, "/assets/model", &[]).await;
        assert!(
            header(&headers, "cache-status").contains("; hit"),
            "{headers:?}"
        );
        assert!(body == object);
    }
    assert_eq!(store.gets("model"), 6);
}

fn files(directory: &std::path::Path) -> usize {
    let folders = std::fs::read_dir(directory).expect("a directory").flatten();
    let folders = folders.filter(|folder| folder.path().is_dir());
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).expect("a directory"));
    files
        .flatten()
        .filter(|file| {
            file.path()
                .extension()
                .is_some_and(|extension| extension == "object")
        })
        .count()
}

/// Answers ranges of one object, whose version is `version`.
fn ranged(
    object: &[u8],
    version: usize,
    request: &http::Request<hyper::body::Incoming>,
) -> OriginResponse {
    let header = |name: &str| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let etag = format!("\"v{version}\"");
    if header("if-match").is_some_and(|tag| tag != etag) {
        return crate::support::status(412);
    }
    let range = header("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let Some((first, last)) = range else {
        return ok(&[("etag", &etag)], object.to_vec());
    };
    let first: usize = first.parse().expect("a number");
    let end = last
        .parse::<usize>()
        .expect("a number")
        .min(object.len() - 1)
        + 1;
    let content_range = format!("bytes {first}-{}/{}", end - 1, object.len());
    let headers = [
        ("etag", etag.as_str()),
        ("content-range", content_range.as_str()),
    ];
    let mut response = ok(&headers, object[first..end].to_vec());
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    response
}

#[tokio::test]
async fn a_change_under_a_reader_is_noticed_before_a_byte_of_the_wrong_version_leaves() {
    let versions = [noise(5, 12 * SLICE), noise(6, 12 * SLICE)];
    let (current, served) = (Arc::new(AtomicUsize::new(0)), versions.clone());
    let version = current.clone();
    let origin = TestOrigin::start(move |request| {
        let version = version.load(Ordering::SeqCst);
        let response = ranged(&served[version], version, &request);
        async move { response }
    })
    .await;
    let server = start(sliced(config(origin.config()))).await;
    let mut reader = ask(&server, "/assets/x", &[]).await.into_body();
    let first = reader.frame().await.expect("a frame").expect("no error");
    let mut received = first.into_data().expect("data").to_vec();
    current.store(1, Ordering::SeqCst);
    let mut cut = false;
    while let Some(frame) = reader.frame().await {
        match frame {
            Ok(frame) => received.extend_from_slice(&frame.into_data().expect("data")),
            Err(_) => cut = true,
        }
    }
    assert!(cut, "the old version cannot be completed");
    assert!(received.len() < versions[0].len() && versions[0].starts_with(&received));
    eventually(|| origin.seen.count(&Method::GET, "/x") > 2).await;
    let (status, _, body) = get(&server, "/assets/x", &[]).await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        body == versions[1],
        "whoever comes next gets the new version"
    );
}

#[tokio::test]
async fn a_version_that_is_gone_before_the_first_byte_costs_nobody_an_error() {
    let versions = [noise(7, 8 * SLICE), noise(8, 8 * SLICE)];
    let (current, served) = (Arc::new(AtomicUsize::new(0)), versions.clone());
    let version = current.clone();
    let origin = TestOrigin::start(move |request| {
        let version = version.load(Ordering::SeqCst);
        let response = ranged(&served[version], version, &request);
        async move { response }
    })
    .await;
    let server = start(sliced(config(origin.config()))).await;
    get(&server, "/assets/x", &[("range", "bytes=0-9")]).await;
    current.store(1, Ordering::SeqCst);
    let range = format!("bytes={}-", 7 * SLICE);
    let (status, headers, body) = get(&server, "/assets/x", &[("range", &range)]).await;
    assert_eq!(status, StatusCode::PARTIAL_CONTENT, "{headers:?}");
    assert_eq!(header(&headers, "etag"), "\"v1\"");
    assert!(body == versions[1][7 * SLICE..]);
}

#[tokio::test]
async fn a_sequential_reader_is_read_ahead_of() {
    let object = noise(9, 16 * SLICE);
    let served = object.clone();
    let gate = Arc::new(tokio::sync::Semaphore::new(1));
    let (most, now) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (gated, most_seen, in_flight) = (gate.clone(), most.clone(), now.clone());
    let origin = TestOrigin::start(move |request| {
        let (gate, most, now) = (gated.clone(), most_seen.clone(), in_flight.clone());
        let response = ranged(&served, 0, &request);
        let is_get = request.method() == Method::GET;
        async move {
            if is_get {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                gate.acquire().await.expect("open").forget();
                now.fetch_sub(1, Ordering::SeqCst);
            }
            response
        }
    })
    .await;
    let server = start(sliced(config(origin.config()))).await;
    let reading = tokio::spawn({
        let server = server.clone();
        async move { get(&server, "/assets/x", &[]).await.2 }
    });
    // The first answer is let through; what is asked for while nothing else arrives is read ahead.
    eventually(|| now.load(Ordering::SeqCst) >= 2).await;
    gate.add_permits(64);
    assert!(reading.await.expect("an answer") == object);
    assert!((2..=4).contains(&most.load(Ordering::SeqCst)), "{most:?}");
    assert_eq!(origin.seen.count(&Method::GET, "/x"), 16);
}

#[tokio::test]
async fn a_purge_takes_the_slices_with_the_object() {
    let store = Store::start().await;
    let object = noise(10, 3 * SLICE);
    store.put("model", &object);
    let directory = tempfile::TempDir::new().expect("a directory");
    let registry = Registry::new();
    let config = with_disk(sliced(config(store.config())), directory.path());
    let server = AssetServer::start(config, &registry)
        .await
        .expect("a server");
    get(&server, "/assets/model", &[]).await;
    settled(&registry).await;
    let purge = asset_server::Purge::Key("/assets/model".into());
    let report = server.purge(&purge).await;
    assert_eq!((report.memory, report.disk), (4, 4));
    assert_eq!(files(directory.path()), 0);
    assert!(get(&server, "/assets/model", &[]).await.2 == object);
    assert_eq!(store.gets("model"), 6);
}
