//! An allocator that counts, so that runs can tell how much memory they took.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use partisan_sim::run::MemoryProbe;

struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn grew(bytes: usize) {
    let now = IN_USE.fetch_add(bytes, Relaxed) + bytes;
    if now > PEAK.load(Relaxed) {
        PEAK.fetch_max(now, Relaxed);
    }
}

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grew(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        grew(size);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Begins the program again, once, with the C library told to ask for huge pages.
///
/// A large cluster's memory is visited all over the place, and with small pages the processor spends
/// a fifth of its time and more on finding out where each of them lies. glibc can only be told before a
/// program starts, and only by this variable; where there is another C library, or the kernel has no
/// huge pages to give, it does nothing. Returns when it was done already, or cannot be.
#[cfg(target_os = "linux")]
pub(crate) fn ask_for_huge_pages() {
    use std::os::unix::process::CommandExt;
    use std::{env, process};

    const TUNABLES: &str = "GLIBC_TUNABLES";
    const HUGE_PAGES: &str = "glibc.malloc.hugetlb=1";
    // Whoever has set anything there knows better.
    if env::var_os(TUNABLES).is_some() {
        return;
    }
    if let Ok(program) = env::current_exe() {
        let mut again = process::Command::new(program);
        // It returns only when it fails, and then the run is slower and nothing else.
        _ = again.args(env::args_os().skip(1)).env(TUNABLES, HUGE_PAGES).exec();
    }
}

/// Not where it is not known how.
#[cfg(not(target_os = "linux"))]
pub(crate) fn ask_for_huge_pages() {}

/// How a run asks.
pub(crate) const PROBE: MemoryProbe = MemoryProbe {
    in_use: || IN_USE.load(Relaxed),
    peak: || PEAK.load(Relaxed),
    reset: || PEAK.store(IN_USE.load(Relaxed), Relaxed),
};
