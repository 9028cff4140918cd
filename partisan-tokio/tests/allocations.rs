//! A plain message costs no allocation of its own, on either side.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use partisan_tokio::SendOptions;
use support::{pair, soon};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[tokio::test]
async fn plain_messages_do_not_allocate_once_all_is_warm() {
    let (a, b) = pair().await;
    let mut inbox = b.inbox().unwrap();
    let options = SendOptions::default().key(1);
    let payload = Bytes::from(vec![7; 64]);
    let mut rounds = Vec::new();
    for _ in 0..20 {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        for number in 0..1_000_u64 {
            if number % 2 == 0 {
                a.try_send_bytes(b.id(), &payload, &options).unwrap();
            } else {
                a.try_send(b.id(), &(number, [1_u64; 8]), &options).unwrap();
            }
        }
        for _ in 0..1_000 {
            soon(inbox.recv()).await.unwrap();
        }
        rounds.push(ALLOCATIONS.load(Ordering::Relaxed) - before);
    }
    // Two allocations a read buffer of 64 KiB, which holds several hundred messages, and now and
    // then a timer of the protocol.
    let warm = rounds[10..].iter().max().unwrap();
    assert!(*warm < 100, "allocations for each 1,000 messages: {rounds:?}");
}
