//! The relay between real sockets. Time is real here and only ever has a lower bound.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use super::*;

const ROUND_TRIP: Duration = Duration::from_millis(40);

/// A connection through a relay, as its two ends hold it.
async fn connection() -> (DistanceRelay, TcpStream, TcpStream) {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let relay = DistanceRelay::start(server.local_addr().unwrap(), ROUND_TRIP)
        .await
        .unwrap();
    let near = TcpStream::connect(relay.addr()).await.unwrap();
    let (far, _) = server.accept().await.unwrap();
    (relay, near, far)
}

#[tokio::test]
async fn a_question_and_its_answer_take_a_round_trip_more_than_the_handshake() {
    let begun = Instant::now();
    let (_relay, mut near, mut far) = connection().await;
    near.write_all(b"ping").await.unwrap();
    let mut heard = [0; 4];
    far.read_exact(&mut heard).await.unwrap();
    far.write_all(b"pong").await.unwrap();
    near.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"pong");
    assert!(begun.elapsed() >= 2 * ROUND_TRIP, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn one_direction_may_end_while_the_other_goes_on() {
    let (_relay, mut near, mut far) = connection().await;
    near.write_all(b"all I have").await.unwrap();
    near.shutdown().await.unwrap();
    let mut heard = String::new();
    far.read_to_string(&mut heard).await.unwrap();
    far.write_all(b"and my answer").await.unwrap();
    drop(far);
    near.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "all I haveand my answer");
}

#[tokio::test]
async fn a_reset_arrives_as_a_reset() {
    let (_relay, mut near, far) = connection().await;
    far.set_zero_linger().unwrap();
    drop(far);
    let error = near.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn where_nobody_listens_the_connection_ends_after_one_round_trip() {
    // Bound, so that nobody else takes the port, but not listening.
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let relay = DistanceRelay::start(deaf.local_addr().unwrap(), ROUND_TRIP)
        .await
        .unwrap();
    let begun = Instant::now();
    let mut near = TcpStream::connect(relay.addr()).await.unwrap();
    let error = near.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(begun.elapsed() >= ROUND_TRIP);
}

#[tokio::test]
async fn a_relay_that_is_dropped_takes_its_connections_along() {
    let (relay, mut near, _far) = connection().await;
    drop(relay);
    let ended = near.read(&mut [0; 1]).await;
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}

#[test]
fn round_trips_are_known_in_both_directions() {
    assert_eq!(
        round_trip_between("sgp1", "nyc3"),
        Some(Duration::from_millis(235))
    );
    assert_eq!(round_trip_between("ams3", "ams3"), Some(Duration::ZERO));
    assert_eq!(round_trip_between("ams3", "elsewhere"), None);
}
