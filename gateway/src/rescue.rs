//! A panic in one request becomes a 500 for that request alone.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;

use crate::error::Error;

/// Runs `work`; a panic in it is logged and comes back as [`Error::Panic`].
pub async fn from_panic<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    // Shared state behind a request is atomics and swapped pointers, which a panic cannot leave half done.
    AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| {
            tracing::error!(message = message(&*panic), "a request panicked");
            Err(Error::Panic)
        })
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::{Error, from_panic};

    #[tokio::test]
    async fn a_panic_becomes_an_error() {
        assert!(matches!(
            from_panic::<()>(async { panic!("oops") }).await,
            Err(Error::Panic)
        ));
        assert!(matches!(from_panic(async { Ok(7) }).await, Ok(7)));
    }
}
