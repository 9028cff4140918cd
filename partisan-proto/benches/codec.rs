//! What encoding and decoding cost: application frames of three sizes, and control messages.

use std::hint::black_box;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use partisan_proto::wire::{
    AppHeader, Bounded, ControlMessage, Delta, Destination, Digest, Entry, Frame, Gossip, Presence,
    Summary, SummaryEntry, decode, encode, encode_app,
};
use partisan_proto::{Channels, Incarnation, NodeId, NodeName, NodeSpec};

/// Frames decoded from one read, as a driver does it.
const BATCH: usize = 64;
const LIMIT: u32 = 1 << 20;

fn app(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("app");
    for size in [64, 1 << 10, 64 << 10] {
        let payload = vec![0xa5_u8; size];
        let header = AppHeader { destination: Destination::Inbox };
        group.throughput(Throughput::Bytes(size as u64));
        let mut out = Vec::with_capacity(size + 64);
        group.bench_function(BenchmarkId::new("encode", size), |bencher| {
            bencher.iter(|| {
                out.clear();
                encode_app(black_box(&header), payload.len(), &mut out);
                out.put_slice(black_box(&payload));
            });
        });
        group.throughput(Throughput::Bytes((size * BATCH) as u64));
        let read = out.repeat(BATCH);
        group.bench_function(BenchmarkId::new("decode_64", size), |bencher| {
            bencher.iter_batched_ref(
                || BytesMut::from(&read[..]),
                decode_all,
                criterion::BatchSize::LargeInput,
            );
        });
    }
}

fn decode_all(buffer: &mut BytesMut) {
    while !buffer.is_empty() {
        black_box(decode(buffer, LIMIT).expect("sound frames"));
    }
}

fn spec(number: u64) -> Arc<NodeSpec> {
    let name = NodeName::new(&format!("node-{number}@10.0.0.1")).expect("a good name");
    let address = "10.0.0.1:9000".parse().expect("a good address");
    let spec = NodeSpec::new(name, vec![address], &Channels::default(), Vec::new());
    Arc::new(spec.expect("a good spec"))
}

fn messages() -> Vec<(&'static str, Gossip)> {
    let summary = |number: u64| SummaryEntry {
        node: NodeId::from_u64(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        hash: number.wrapping_mul(0xd6e8_feb8_6659_fd93),
        removed: Incarnation(0),
        present: Incarnation(1_700_000_000_000),
    };
    let entry = |number: u64| Entry {
        node: spec(number).id(),
        removed: Incarnation(0),
        presence: Some(Presence {
            incarnation: Incarnation(1_700_000_000_000),
            joined: Incarnation(1_700_000_000_000),
            spec: spec(number),
        }),
    };
    let first = NodeId::from_u64(0);
    let last = NodeId::from_u64(u64::MAX);
    let entries = Bounded::from_first((0..1_000).map(summary));
    vec![
        ("digest", Gossip::Digest(Digest { entries: 1_000, hash: 1 })),
        ("summary_1000", Gossip::Summary(Summary { first, last, entries })),
        ("delta_1", Gossip::Delta(Delta { entries: Bounded::from_first([entry(1)]) })),
        ("delta_100", Gossip::Delta(Delta { entries: Bounded::from_first((0..100).map(entry)) })),
    ]
}

fn control(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("control");
    for (name, gossip) in messages() {
        let frame = Frame::Control(ControlMessage::Gossip(gossip));
        let mut out = Vec::new();
        encode(&frame, &mut out);
        group.throughput(Throughput::Bytes(out.len() as u64));
        let read = out.clone();
        group.bench_function(BenchmarkId::new("encode", name), |bencher| {
            bencher.iter(|| {
                out.clear();
                encode(black_box(&frame), &mut out);
            });
        });
        group.bench_function(BenchmarkId::new("decode", name), |bencher| {
            bencher.iter_batched_ref(
                || BytesMut::from(&read[..]),
                decode_all,
                criterion::BatchSize::SmallInput,
            );
        });
    }
}

criterion_group!(benches, app, control);
criterion_main!(benches);
