//! The core in a program without the standard library: own panic handler, own allocator.
//!
//! A dependency that brings the standard library in brings a second panic handler too, and the
//! build fails. That it builds is the test: `cargo build --manifest-path tests/no-std/Cargo.toml`.

#![no_std]

extern crate alloc;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

use partisan_proto::{
    Birth, Config, Event, Incarnation, Instant, Node, NodeName, NodeSpec, Outbox, wire,
};

/// Runs a node for a moment, so that the linker has to keep all of it: the number of its actions,
/// or -1 when it does not start.
#[unsafe(no_mangle)]
pub extern "C" fn partisan_no_std() -> isize {
    run().unwrap_or(-1)
}

fn run() -> Option<isize> {
    let config = Arc::new(Config::default());
    let name = NodeName::new("a@h").ok()?;
    let birth = Birth {
        spec: NodeSpec::new(name, Vec::new(), &config.channels, Vec::new()).ok()?,
        incarnation: Incarnation(1),
        seed: [0; 32],
        snapshot: None,
        manager: None,
    };
    let mut outbox = Outbox::default();
    let mut node = Node::start(Instant::ZERO, birth, config, &mut outbox).ok()?;
    node.handle(Instant::from_secs(1), Event::Wake, &mut outbox);
    let mut buffer = bytes::BytesMut::new();
    wire::decode(&mut buffer, wire::MIN_FRAME_LIMIT).ok()?;
    isize::try_from(outbox.actions.len()).ok()
}

/// Hands out a fixed piece of memory and takes nothing back.
struct Arena {
    memory: UnsafeCell<[u8; 1 << 20]>,
    used: AtomicUsize,
}

// SAFETY: each byte of the memory is handed out once at most, by an atomic addition.
unsafe impl Sync for Arena {}

// SAFETY: pieces are within the memory, aligned, and never overlap.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.memory.get().cast::<u8>();
        let wanted = layout.size() + layout.align();
        let used = self.used.fetch_add(wanted, Ordering::Relaxed);
        if used + wanted > 1 << 20 {
            return core::ptr::null_mut();
        }
        let free = start.wrapping_add(used);
        free.wrapping_add(free.align_offset(layout.align()))
    }

    unsafe fn dealloc(&self, _piece: *mut u8, _layout: Layout) {}
}

#[global_allocator]
static ARENA: Arena = Arena { memory: UnsafeCell::new([0; 1 << 20]), used: AtomicUsize::new(0) };

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
