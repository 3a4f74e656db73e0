//! Every system call that the tier makes on a file: one place where a test can make the n-th fail.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The file system.
#[derive(Debug, Default)]
pub(super) struct Files {
    #[cfg(test)]
    pub(super) faults: super::faults::Faults,
}

impl Files {
    /// Creates a file, and its folder if there is none.
    pub(super) fn create(&self, path: &Path) -> io::Result<File> {
        self.gate()?;
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true);
        match options.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(folder) = path.parent() {
                    fs::create_dir_all(folder)?;
                }
                options.open(path)
            }
            opened => opened,
        }
    }

    /// Opens a file to read it.
    pub(super) fn open(&self, path: &Path) -> io::Result<File> {
        self.gate()?;
        File::open(path)
    }

    /// Opens a file to append to it; it need not exist.
    pub(super) fn append_to(&self, path: &Path) -> io::Result<File> {
        self.gate()?;
        OpenOptions::new().append(true).create(true).open(path)
    }

    /// Appends.
    pub(super) fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        self.gate()?;
        file.write_all(bytes)
    }

    /// Writes all of `bytes` at `offset`.
    pub(super) fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.gate()?;
        file.write_all_at(bytes, offset)
    }

    /// Fills `bytes` from `offset`.
    pub(super) fn read_at(&self, file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.gate()?;
        file.read_exact_at(bytes, offset)
    }

    /// Reads what there is at `offset` and in the page cache, without waiting for a device. An error
    /// of kind `WouldBlock` also where the kernel or the file system cannot tell.
    pub(super) fn read_cached(
        &self,
        file: &File,
        bytes: &mut [u8],
        offset: u64,
    ) -> io::Result<usize> {
        self.gate()?;
        read_cached(file, bytes, offset)
    }

    /// Gives a file its final name.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.gate()?;
        fs::rename(from, to)
    }

    /// Deletes a file.
    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        self.gate()?;
        fs::remove_file(path)
    }

    #[cfg(test)]
    fn gate(&self) -> io::Result<()> {
        self.faults.next()
    }

    #[cfg(not(test))]
    #[allow(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "tests fail here"
    )]
    #[inline]
    fn gate(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Asks the kernel to read ahead; it may refuse.
pub(super) fn read_ahead(file: &File, offset: u64, count: u64) {
    #[cfg(target_os = "linux")]
    let _ = rustix::fs::fadvise(
        file,
        offset,
        std::num::NonZeroU64::new(count),
        rustix::fs::Advice::WillNeed,
    );
    #[cfg(not(target_os = "linux"))]
    let _ = (file, offset, count);
}

#[cfg(target_os = "linux")]
fn read_cached(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    let mut buffers = [io::IoSliceMut::new(bytes)];
    match preadv2(file, &mut buffers, offset, ReadWriteFlags::NOWAIT) {
        Ok(count) => Ok(count),
        // Not in the page cache; or a file system, a kernel or a sandbox that does not know the flag.
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::PERM) => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn read_cached(_: &File, _: &mut [u8], _: u64) -> io::Result<usize> {
    Err(io::ErrorKind::WouldBlock.into())
}
