//! Many clients, one fetch.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all, stream};
use http::{Method, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::{Semaphore, mpsc};

use crate::support::{
    OriginResponse, Store, TestOrigin, ask, config, eventually, get, header, noise, ok, start,
    with_disk,
};

/// A body whose pieces are sent by the test.
fn by_hand(
    length: usize,
    pieces: mpsc::UnboundedReceiver<Result<Bytes, std::io::Error>>,
) -> OriginResponse {
    let pieces = stream::unfold(pieces, |mut pieces| async {
        let piece = pieces.recv().await?;
        Some((piece.map(Frame::data), pieces))
    });
    let mut response = Response::new(StreamBody::new(pieces).boxed_unsync());
    response
        .headers_mut()
        .insert("content-length", length.into());
    response
        .headers_mut()
        .insert("etag", http::HeaderValue::from_static("\"v1\""));
    response
}

type Sender = mpsc::UnboundedSender<Result<Bytes, std::io::Error>>;

/// An origin with one object that arrives when the test says.
async fn hand_fed(length: usize) -> (TestOrigin, Sender) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let receiver = Arc::new(std::sync::Mutex::new(Some(receiver)));
    let origin = TestOrigin::start(move |request| {
        let receiver = if request.method() == Method::GET {
            receiver.lock().expect("no panic").take()
        } else {
            None
        };
        async move {
            receiver.map_or_else(
                || crate::support::status(500),
                |receiver| by_hand(length, receiver),
            )
        }
    })
    .await;
    (origin, sender)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_clients_of_a_cold_object_fetch_each_slice_once() {
    for max_object in [64 << 20, 1 << 20] {
        let store = Store::start().await;
        let directory = tempfile::TempDir::new().expect("a directory");
        let object = Arc::new(noise(4, 16 << 20));
        store.put("cold", &object);
        let mut config = with_disk(config(store.config()), directory.path());
        config.memory.max_object = max_object;
        let server = start(config).await;
        let clients = (0..200).map(|i| {
            let (server, object) = (server.clone(), object.clone());
            tokio::spawn(async move {
                if i % 4 == 0 {
                    let (status, _, body) = get(
                        &server,
                        "/assets/cold",
                        &[("range", "bytes=9000000-9999999")],
                    )
                    .await;
                    assert!(
                        status == StatusCode::PARTIAL_CONTENT
                            && body == object[9_000_000..10_000_000]
                    );
                } else {
                    let (status, _, body) = get(&server, "/assets/cold", &[]).await;
                    assert!(status == StatusCode::OK && body == object[..]);
                }
            })
        });
        for client in join_all(clients).await {
            client.expect("identical bytes");
        }
        let slices = object.len().div_ceil(4 << 20);
        assert_eq!(store.gets("cold"), slices);
    }
}

#[tokio::test]
async fn bytes_are_passed_on_as_they_arrive() {
    let (origin, sender) = hand_fed(6).await;
    let server = start(config(origin.config())).await;
    sender.send(Ok("abc".into())).expect("sent");
    let mut first = ask(&server, "/assets/x", &[]).await;
    let mut second = ask(&server, "/assets/x", &[]).await;
    assert!(
        header(first.headers(), "cache-status").contains("fwd=uri-miss; fwd-status=200; stored")
    );
    assert!(header(second.headers(), "cache-status").contains("fwd=uri-miss; collapsed"));
    for body in [first.body_mut(), second.body_mut()] {
        let piece = body
            .frame()
            .await
            .expect("a frame")
            .expect("no error")
            .into_data()
            .expect("data");
        assert_eq!(piece, "abc", "before the rest has arrived");
    }
    sender.send(Ok("def".into())).expect("sent");
    for response in [first, second] {
        assert_eq!(
            response
                .into_body()
                .collect()
                .await
                .expect("whole")
                .to_bytes(),
            "def"
        );
    }
    assert_eq!(origin.seen.count(&Method::GET, "/x"), 1);
}

#[tokio::test]
async fn who_leaves_stops_nobody() {
    let (origin, sender) = hand_fed(6).await;
    let server = start(config(origin.config())).await;
    sender.send(Ok("abc".into())).expect("sent");
    let leader = ask(&server, "/assets/x", &[]).await;
    let joiner = ask(&server, "/assets/x", &[]).await;
    drop(leader);
    sender.send(Ok("def".into())).expect("sent");
    assert_eq!(
        joiner
            .into_body()
            .collect()
            .await
            .expect("whole")
            .to_bytes(),
        "abcdef"
    );
    assert_eq!(get(&server, "/assets/x", &[]).await.2, "abcdef");
    assert_eq!(origin.seen.count(&Method::GET, "/x"), 1);
}

#[tokio::test]
async fn a_fill_that_everybody_left_is_completed() {
    let (origin, sender) = hand_fed(6).await;
    let server = start(config(origin.config())).await;
    sender.send(Ok("abc".into())).expect("sent");
    drop(ask(&server, "/assets/x", &[]).await);
    sender.send(Ok("def".into())).expect("sent");
    assert_eq!(get(&server, "/assets/x", &[]).await.2, "abcdef");
    assert_eq!(origin.seen.count(&Method::GET, "/x"), 1);
}

#[tokio::test]
async fn an_origin_that_fails_half_way_fails_the_readers_and_leaves_nothing() {
    for (pieces, how) in [
        (vec!["abc"], "cut in the middle"),
        (vec![], "cut before the first byte"),
    ] {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let origin = TestOrigin::start(move |request| {
            let first =
                request.method() == Method::GET && counted.fetch_add(1, Ordering::SeqCst) == 0;
            let pieces = pieces.clone();
            async move {
                if !first {
                    return ok(&[("etag", "\"v2\"")], "abcdef");
                }
                let (sender, receiver) = mpsc::unbounded_channel();
                for piece in pieces {
                    sender
                        .send(Ok(Bytes::from_static(piece.as_bytes())))
                        .expect("sent");
                }
                sender
                    .send(Err(std::io::Error::other("cut")))
                    .expect("sent");
                by_hand(6, receiver)
            }
        })
        .await;
        let server = start(config(origin.config())).await;
        let readers = [
            ask(&server, "/assets/x", &[]).await,
            ask(&server, "/assets/x", &[]).await,
        ];
        for reader in readers {
            if reader.status() == StatusCode::OK && header(reader.headers(), "etag") == "\"v1\"" {
                assert!(
                    reader.into_body().collect().await.is_err(),
                    "{how}: a clean end"
                );
            }
        }
        assert_eq!(get(&server, "/assets/x", &[]).await.2, "abcdef", "{how}");
    }
}

#[tokio::test]
async fn what_is_not_for_everyone_is_not_shared() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let origin = TestOrigin::start(move |request| {
        let own = if request.method() == Method::GET {
            counted.fetch_add(1, Ordering::SeqCst)
        } else {
            0
        };
        async move { ok(&[("cache-control", "private, max-age=60")], own.to_string()) }
    })
    .await;
    let server = start(config(origin.config())).await;
    let answers = join_all((0..5).map(|_| get(&server, "/assets/mine", &[]))).await;
    let mut bodies: Vec<_> = answers.iter().map(|(_, _, body)| body.clone()).collect();
    bodies.sort();
    assert_eq!(bodies, ["0", "1", "2", "3", "4"]);
    assert!(
        answers
            .iter()
            .all(|(_, headers, _)| header(headers, "cache-status").contains("fwd=bypass"))
    );
}

#[tokio::test]
async fn a_slow_reader_gets_every_byte_of_an_object_that_went_to_disk() {
    let store = Store::start().await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let object = noise(5, 12 << 20);
    store.put("large", &object);
    let mut config = with_disk(config(store.config()), directory.path());
    config.memory.max_object = 1 << 20;
    config.mounts[0].slices = false;
    let server = start(config).await;
    let mut slow = ask(&server, "/assets/large", &[]).await.into_body();
    let mut received = slow
        .frame()
        .await
        .expect("a frame")
        .expect("no error")
        .into_data()
        .expect("data")
        .to_vec();
    // The fast one runs far ahead, so the slow one has to read behind the window, from the file.
    assert!(get(&server, "/assets/large", &[]).await.2 == object);
    received.extend_from_slice(&slow.collect().await.expect("whole").to_bytes());
    assert!(received == object);
    assert_eq!(store.gets("large"), 1);
}

#[tokio::test]
async fn a_purge_beats_the_fill_that_began_before_it() {
    let (origin, sender) = hand_fed(6).await;
    let server = start(config(origin.config())).await;
    sender.send(Ok("abc".into())).expect("sent");
    let reader = ask(&server, "/assets/x", &[]).await;
    assert_eq!(
        server
            .purge(&asset_server::Purge::Key("/assets/x".into()))
            .await
            .fills,
        1
    );
    sender.send(Ok("def".into())).expect("sent");
    assert_eq!(
        reader
            .into_body()
            .collect()
            .await
            .expect("whole")
            .to_bytes(),
        "abcdef"
    );
    // The origin answers once only, so a second question shows that nothing was kept.
    assert_eq!(
        ask(&server, "/assets/x", &[]).await.status(),
        StatusCode::INTERNAL_SERVER_ERROR
    );
}

#[tokio::test]
async fn requests_above_the_limit_wait_their_turn() {
    let gate = Arc::new(Semaphore::new(0));
    let (most, now) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (gated, most_seen, in_flight) = (gate.clone(), most.clone(), now.clone());
    let origin = TestOrigin::start(move |request| {
        let (gate, most, now) = (gated.clone(), most_seen.clone(), in_flight.clone());
        async move {
            if request.method() == Method::GET {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                gate.acquire().await.expect("open").forget();
                now.fetch_sub(1, Ordering::SeqCst);
            }
            ok(&[], "x")
        }
    })
    .await;
    let mut config = config(origin.config());
    config.origin.max_concurrency = 3;
    let server = start(config).await;
    let asked = stream::iter(0..12).map(|i| {
        let server = server.clone();
        async move { get(&server, &format!("/assets/{i}"), &[]).await.0 }
    });
    let (statuses, ()) = tokio::join!(asked.buffer_unordered(12).collect::<Vec<_>>(), async {
        eventually(|| now.load(Ordering::SeqCst) == 3).await;
        gate.add_permits(12);
    });
    assert!(statuses.iter().all(|status| *status == StatusCode::OK));
    assert_eq!(most.load(Ordering::SeqCst), 3);
}
