//! A lock that cannot be poisoned.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`. No code under these locks calls back into the application, but for interposers,
/// whose panics are caught; so a panic there would be ours, and the state behind it is still the
/// best there is.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
