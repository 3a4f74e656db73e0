//! One direction of a long line: bytes go in now and come out later, in order.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until};

/// What may be on the way at once. Over 235 ms, 16 MiB allow 140 MB/s: well above what a demo shows.
const CAPACITY: u32 = 16 << 20;

/// What is read at once, and what a buffer must have left to be read into.
const READ_SIZE: usize = 64 << 10;
const LEAST_READ_SIZE: usize = 4 << 10;

/// Charged for each piece on the way beside its bytes, so that a flood of tiny ones is bounded too.
const PIECE_OVERHEAD: u32 = 128;

/// A line of a given delay; both directions of a connection use the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct DelayLine {
    one_way: Duration,
}

/// Something that arrives at the far end at a known time.
struct Arrival {
    at: Instant,
    /// `None` is the end of the stream.
    bytes: Option<Bytes>,
    /// Its share of the line, given back once it is delivered.
    _share: OwnedSemaphorePermit,
}

impl DelayLine {
    pub(super) fn new(one_way: Duration) -> Self {
        Self { one_way }
    }

    /// Carries `from` to `to` until the end of the stream has arrived. It fails when either end is broken,
    /// as soon as the news could have travelled the line; what was sent before that had time to arrive.
    pub(super) async fn carry(
        self,
        from: impl AsyncRead + Unpin,
        to: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let (line, arrivals) = mpsc::unbounded_channel();
        // What arrives in the same instant as bad news is delivered first.
        tokio::try_join!(biased; self.deliver(arrivals, to), self.send(from, line))?;
        Ok(())
    }

    async fn send(
        self,
        mut from: impl AsyncRead + Unpin,
        line: UnboundedSender<Arrival>,
    ) -> io::Result<()> {
        let room = Arc::new(Semaphore::new(CAPACITY as usize));
        let mut buffer = BytesMut::new();
        loop {
            if buffer.capacity() < LEAST_READ_SIZE {
                buffer.reserve(READ_SIZE);
            }
            let read = from.read_buf(&mut buffer).await;
            let at = Instant::now() + self.one_way;
            let bytes = match read {
                Ok(0) => None,
                Ok(_) => Some(buffer.split().freeze()),
                Err(broken) => {
                    sleep_until(at).await;
                    return Err(broken);
                }
            };
            let is_end = bytes.is_none();
            let cost = PIECE_OVERHEAD
                + bytes
                    .as_ref()
                    .map_or(0, |bytes| bytes.len().min(READ_SIZE * 2) as u32);
            let share = Arc::clone(&room)
                .acquire_many_owned(cost)
                .await
                .map_err(io::Error::other)?;
            let is_delivering = line
                .send(Arrival {
                    at,
                    bytes,
                    _share: share,
                })
                .is_ok();
            if is_end || !is_delivering {
                return Ok(());
            }
        }
    }

    async fn deliver(
        self,
        mut line: UnboundedReceiver<Arrival>,
        mut to: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        while let Some(arrival) = line.recv().await {
            sleep_until(arrival.at).await;
            let delivered = match &arrival.bytes {
                Some(bytes) => to.write_all(bytes).await,
                None => to.shutdown().await,
            };
            if let Err(broken) = delivered {
                sleep(self.one_way).await;
                return Err(broken);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{duplex, split};

    use super::*;

    const ONE_WAY: Duration = Duration::from_millis(80);

    #[tokio::test(start_paused = true)]
    async fn bytes_and_the_end_of_the_stream_arrive_one_way_later_and_in_order() {
        let ((mut near, line_in), (line_out, mut far)) = (duplex(1 << 20), duplex(1 << 20));
        let line = tokio::spawn(DelayLine::new(ONE_WAY).carry(line_in, line_out));
        let sent = Instant::now();
        near.write_all(b"first").await.unwrap();
        sleep(Duration::from_millis(30)).await;
        near.write_all(b"second").await.unwrap();
        near.shutdown().await.unwrap();

        let mut first = [0; 5];
        far.read_exact(&mut first).await.unwrap();
        assert_eq!((&first, sent.elapsed().as_millis()), (b"first", 80));
        let mut rest = Vec::new();
        far.read_to_end(&mut rest).await.unwrap();
        assert_eq!(
            (rest.as_slice(), sent.elapsed().as_millis()),
            (&b"second"[..], 110)
        );
        line.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_pays_the_delay_once_and_not_for_every_piece() {
        let ((mut near, line_in), (line_out, mut far)) = (duplex(1 << 16), duplex(1 << 16));
        tokio::spawn(DelayLine::new(ONE_WAY).carry(line_in, line_out));
        let sent = Instant::now();
        tokio::spawn(async move { near.write_all(&vec![1; 8 << 20]).await });
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.unwrap();
        assert_eq!((all.len(), sent.elapsed().as_millis()), (8 << 20, 80));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_line_holds_the_sender_back() {
        let ((mut near, line_in), (line_out, far)) = (duplex(1 << 16), duplex(1 << 16));
        tokio::spawn(DelayLine::new(ONE_WAY).carry(line_in, line_out));
        let flood = vec![1; 2 * CAPACITY as usize];
        let mut accepted = 0;
        let writing = async {
            while let Ok(written) = near.write(&flood).await {
                accepted += written;
            }
        };
        let ended = tokio::time::timeout(10 * ONE_WAY, writing).await;
        assert!(ended.is_err(), "nobody reads, yet everything was taken");
        assert!(
            accepted < CAPACITY as usize + (1 << 20),
            "{accepted} bytes on the way"
        );
        drop(far);
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_end_is_told_after_one_way_and_what_came_before_it_arrives() {
        let breaking = tokio_util::io::StreamReader::new(futures_util::stream::iter([
            Ok(Bytes::from_static(b"last words")),
            Err(io::Error::from(io::ErrorKind::ConnectionReset)),
        ]));
        let (line_out, mut far) = duplex(1 << 16);
        let begun = Instant::now();
        let error = DelayLine::new(ONE_WAY)
            .carry(breaking, split(line_out).1)
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), begun.elapsed().as_millis()),
            (io::ErrorKind::ConnectionReset, 80)
        );
        let mut heard = Vec::new();
        far.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"last words");
    }
}
