//! How far away a client is, as the kernel has measured it: a stream that reports the round trip of its
//! connection once after the first answer, and once more at its end if it lived on.
//!
//! It only reports. What is made of it, and whose connections count, is for whoever listens.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use nix::sys::socket::GetSockOpt as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Hears of round trips: the client's own address, and the time.
pub type OnRoundTrip = Arc<dyn Fn(IpAddr, Duration) + Send + Sync>;

/// A connection that lives longer than this after its first report is measured again at its end.
const WORTH_A_SECOND_LOOK: Duration = Duration::from_secs(10);

/// `struct tcp_info` of Linux (`include/uapi/linux/tcp.h`) as words, as far as every kernel since 4.6
/// has it; the kernel cuts the rest off.
type TcpInfoWords = [u32; 40];
/// `tcpi_rtt`: smoothed, in microseconds.
const SMOOTHED: usize = 17;
/// `tcpi_min_rtt`: lowest of the last five minutes, in microseconds; all ones before the first sample.
const LOWEST: usize = 37;

mod option {
    /// `TCP_INFO`.
    #[derive(Clone, Copy, Debug)]
    pub(super) struct TcpInfo;

    nix::getsockopt_impl!(
        TcpInfo,
        libc::IPPROTO_TCP,
        libc::TCP_INFO,
        super::TcpInfoWords,
        nix::sys::socket::sockopt::GetStruct<super::TcpInfoWords>
    );
}

/// The round trip of a connection: the lowest that the kernel has seen, which queues and delayed
/// acknowledgements do not inflate; the smoothed one where it does not keep the lowest.
pub fn round_trip(stream: &TcpStream) -> Option<Duration> {
    let words = option::TcpInfo.get(stream).ok()?;
    let known = |at: usize| {
        words
            .get(at)
            .copied()
            .filter(|micros| *micros != 0 && *micros != u32::MAX)
    };
    let micros = known(LOWEST).or_else(|| known(SMOOTHED))?;
    Some(Duration::from_micros(u64::from(micros)))
}

/// A stream that reports its round trip.
pub(super) struct Measured {
    stream: TcpStream,
    report: Option<(IpAddr, OnRoundTrip)>,
    wrote: bool,
    reported: Option<Instant>,
}

impl Measured {
    /// Reports to `report` where there is one.
    pub(super) fn new(stream: TcpStream, report: Option<(IpAddr, OnRoundTrip)>) -> Self {
        Self {
            stream,
            report,
            wrote: false,
            reported: None,
        }
    }

    fn report(&mut self) {
        let Some((client, report)) = &self.report else {
            return;
        };
        if let Some(time) = round_trip(&self.stream) {
            report(*client, time);
        }
        self.reported = Some(Instant::now());
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        // A connection that never got an answer says little, and may be a scan.
        let again = match self.reported {
            None => self.wrote,
            Some(at) => at.elapsed() > WORTH_A_SECOND_LOOK,
        };
        if again {
            self.report();
        }
    }
}

impl AsyncRead for Measured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        // Something came after we have written: what we wrote has arrived, so the time is known.
        if self.wrote && self.reported.is_none() {
            self.report();
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Measured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wrote = true;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.wrote = true;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::{Measured, OnRoundTrip};

    #[tokio::test]
    async fn a_connection_reports_its_round_trip_once_after_the_first_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let heard: Arc<Mutex<Vec<(IpAddr, Duration)>>> = Arc::default();
        let report: OnRoundTrip = {
            let heard = heard.clone();
            Arc::new(move |client, time| heard.lock().unwrap().push((client, time)))
        };
        let mut stream = Measured::new(stream, Some((peer.ip(), report)));

        client.write_all(b"question").await.unwrap();
        let mut buffer = [0; 16];
        let _ = stream.read(&mut buffer).await.unwrap();
        assert!(heard.lock().unwrap().is_empty(), "nothing was answered yet");
        stream.write_all(b"answer").await.unwrap();
        client.write_all(b"question").await.unwrap();
        let _ = stream.read(&mut buffer).await.unwrap();
        drop(stream);

        let heard = heard.lock().unwrap();
        let [(client, time)] = heard[..] else {
            panic!("one report, not {heard:?}");
        };
        assert_eq!(client, peer.ip());
        assert!(
            !time.is_zero() && time < Duration::from_millis(200),
            "{time:?} on loopback"
        );
    }

    #[tokio::test]
    async fn a_connection_without_an_answer_reports_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await;
        let (stream, peer) = listener.accept().await.unwrap();
        let report: OnRoundTrip = Arc::new(|_, _| panic!("nothing was asked"));
        drop(Measured::new(stream, Some((peer.ip(), report))));
        drop(client);
    }
}
