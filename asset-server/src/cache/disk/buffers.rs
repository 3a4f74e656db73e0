//! Reusable buffers for reading files: memory that is neither zeroed nor faulted in again per read.
//!
//! A buffer travels as `Bytes` to the socket and comes back when its last reader drops it. Shelves are
//! tried, never waited for: who finds all of them busy allocates, or lets go of the memory.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::cache::entry::CHUNK;

/// Buffers kept on each shelf: with [`SHELVES`], 16 MiB at most.
const PER_SHELF: usize = 16;

/// Enough that two threads rarely meet; the first is preferred, because its memory is in the CPU's cache.
const SHELVES: usize = 4;

/// Buffers of [`CHUNK`] bytes.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    shelves: [Mutex<Vec<Box<[u8]>>>; SHELVES],
}

/// One buffer, on loan.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Box<[u8]>,
    home: Arc<Buffers>,
}

impl Buffers {
    /// A buffer whose bytes are whatever the last reader left in it.
    pub(super) fn lend(self: &Arc<Self>) -> Buffer {
        let kept = self
            .shelves
            .iter()
            .find_map(|shelf| shelf.try_lock().ok()?.pop());
        Buffer {
            bytes: kept.unwrap_or_else(|| vec![0; CHUNK].into_boxed_slice()),
            home: self.clone(),
        }
    }

    fn take_back(&self, buffer: Box<[u8]>) {
        for shelf in &self.shelves {
            if let Ok(mut shelf) = shelf.try_lock()
                && shelf.len() < PER_SHELF
            {
                shelf.push(buffer);
                return;
            }
        }
    }

    #[cfg(test)]
    fn kept(&self) -> usize {
        self.shelves
            .iter()
            .map(|shelf| shelf.lock().expect("no panic").len())
            .sum()
    }
}

impl Buffer {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The buffer as something to send.
    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.take_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_last_reader_is_done() {
        let buffers = Arc::new(Buffers::default());
        let mut buffer = buffers.lend();
        buffer.bytes_mut()[7] = 1;
        let bytes = buffer.freeze();
        let part = bytes.slice(7..8);
        drop(bytes);
        assert_eq!((buffers.kept(), part[0]), (0, 1));
        drop(part);
        assert_eq!(buffers.kept(), 1);
        assert_eq!(buffers.lend().bytes().len(), CHUNK);
    }

    #[test]
    fn no_more_are_kept_than_there_is_place_for() {
        let buffers = Arc::new(Buffers::default());
        let lent: Vec<_> = (0..2 * SHELVES * PER_SHELF)
            .map(|_| buffers.lend())
            .collect();
        drop(lent);
        assert_eq!(buffers.kept(), SHELVES * PER_SHELF);
    }
}
