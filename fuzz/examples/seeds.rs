//! Writes the seeds of all corpora: `cargo run --manifest-path fuzz/Cargo.toml --example seeds`.
//!
//! The same seeds each time, named `seed-*`; what fuzzing adds is left alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use partisan_proto::wire::{
    Bounded, Cargo, Confirm, ControlMessage, Destination, Digest, Frame, GoodbyeReason, Gossip,
    Hello, PartitionId, PartitionMessage, RelayFailure, RelayHeader, RelayId, RelayMessage,
    RelayNotice, encode,
};
use partisan_proto::{
    ChannelName, ChannelOptions, Channels, ClusterName, Incarnation, NodeId, NodeName, NodeSpec,
    Reference, Refusal,
};

fn main() -> std::io::Result<()> {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let streams = streams();
    let cuts = [1, 3, 7, 64, 255];
    let decode = streams.iter().zip(cuts.iter().cycle());
    let decode = decode.map(|(stream, cut)| [&[*cut], &stream[..]].concat());
    write(corpora.join("wire_decode"), decode)?;
    let overlay = overlay_streams();
    let decode = overlay.iter().zip(cuts.iter().cycle());
    let decode = decode.map(|(stream, cut)| [&[*cut], &stream[..]].concat());
    write_as("relay", corpora.join("wire_decode"), decode)?;
    let random = &mut XorShift::of("wire_round_trip");
    let noise = (0..24).map(|i| random.bytes(16 + i * 16));
    write(corpora.join("wire_round_trip"), noise)?;
    let flags = (0..4u8).flat_map(|flags| streams.iter().map(move |stream| (flags, stream)));
    let handshakes = flags.map(|(flags, stream)| [&[flags], &stream[..]].concat());
    write(corpora.join("handshake"), handshakes)?;
    let handshakes = overlay.iter().map(|stream| [&[0_u8], &stream[..]].concat());
    write_as("relay", corpora.join("handshake"), handshakes)?;
    write_scripts(&corpora, "node", 30, script)?;
    let managed = |random: &mut XorShift, i| [&[i as u8], &script(random, i)[..]].concat();
    write_scripts(&corpora, "managers", 64, managed)?;
    write_scripts(&corpora, "broadcasts", 40, broadcasts)?;
    write(corpora.join("references"), references(&mut XorShift::of("references")))?;
    write_scripts(&corpora, "processes", 40, processes)?;
    write_scripts(&corpora, "deliveries", 40, deliveries)?;
    write_scripts(&corpora, "statem", 60, |random, i| random.bytes(64 + i * 24))
}

/// Writes so many scripts for a target.
fn write_scripts(
    corpora: &Path,
    target: &str,
    count: usize,
    draw: impl Fn(&mut XorShift, usize) -> Vec<u8>,
) -> std::io::Result<()> {
    let random = &mut XorShift::of(target);
    write(corpora.join(target), (0..count).map(|number| draw(random, number)))
}

fn write(folder: PathBuf, seeds: impl IntoIterator<Item = Vec<u8>>) -> std::io::Result<()> {
    write_as("seed", folder, seeds)
}

fn write_as(
    name: &str,
    folder: PathBuf,
    seeds: impl IntoIterator<Item = Vec<u8>>,
) -> std::io::Result<()> {
    fs::create_dir_all(&folder)?;
    for (number, seed) in seeds.into_iter().enumerate() {
        fs::write(folder.join(format!("{name}-{number:02}")), seed)?;
    }
    Ok(())
}

/// What a peer with a session may say of relayed messages and injected partitions, and relayed
/// messages on the membership channel and on another; with hops, flags and numbers at their bounds.
fn overlay_streams() -> Vec<Vec<u8>> {
    let (me, stranger) = (NodeName::new("a").expect("good").id(), NodeId::from_u64(7));
    let id = |sequence| RelayId { origin: stranger, incarnation: Incarnation(1), sequence };
    let notice = |sequence| Box::new(RelayNotice { id: id(sequence), target: me, hops: 255 });
    let failed = |reason| RelayMessage::Failed { notice: notice(u64::MAX), reason };
    let said = [
        failed(RelayFailure::Circle),
        RelayMessage::Found(notice(1)),
        RelayMessage::Astray(notice(2)),
    ];
    let said = said.map(|message| Frame::Control(ControlMessage::Relay(message)));
    let partition = |number| PartitionId { origin: me, incarnation: Incarnation(1), number };
    let parted = [
        PartitionMessage::Inject { id: partition(1), ttl: 255 },
        PartitionMessage::Inject { id: partition(u32::MAX), ttl: 0 },
        PartitionMessage::Active(Bounded::from_first((0..64).map(partition))),
        PartitionMessage::Resolve { id: partition(1), ttl: 255 },
        PartitionMessage::Inject { id: partition(1), ttl: 255 },
    ];
    let parted = parted.map(|message| Frame::Control(ControlMessage::Partition(message)));
    let relayed = |target, ttl, hops, flooded: bool| {
        let (key, destination) = (flooded.then_some(u64::MAX), Destination::Inbox);
        let header = RelayHeader {
            id: id(1),
            target,
            ttl,
            hops,
            flooded,
            key,
            cargo: Cargo::Message,
            destination,
        };
        Frame::Relayed { header: Box::new(header), payload: b"payload"[..].into() }
    };
    let messages = [
        relayed(me, 0, 33, false),
        relayed(me, 0, 33, false),
        relayed(stranger, 32, 1, true),
        relayed(NodeId::from_u64(8), 0, 33, true),
    ];
    let greeting = |channel| [Frame::Hello(Box::new(hello("b", channel))), confirm("b")];
    let stream = |channel, frames: &[Frame]| {
        let mut bytes = Vec::new();
        greeting(channel).iter().chain(frames).for_each(|frame| encode(frame, &mut bytes));
        bytes
    };
    // Somewhere in the header of the message.
    let mut broken = stream("membership", &messages[..1]);
    let place = broken.len() - b"payload".len() - 4;
    broken[place] ^= 0xff;
    vec![
        stream("membership", &said),
        stream("membership", &parted),
        stream("membership", &messages),
        stream("bulk", &messages),
        broken,
    ]
}

/// What a stranger may send: sound, then ever less so.
fn streams() -> Vec<Vec<u8>> {
    let hello = |name: &str, channel: &str| Frame::Hello(Box::new(hello(name, channel)));
    let frames = |frames: &[Frame]| {
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| encode(frame, &mut bytes));
        bytes
    };
    let app = Frame::App {
        destination: Destination::name("store").unwrap_or_default(),
        payload: b"payload"[..].into(),
    };
    let control = Frame::Control;
    let ping = control(ControlMessage::Ping { id: 1 });
    let digest = control(ControlMessage::Gossip(Gossip::Digest(Digest::default())));
    let goodbye = control(ControlMessage::Goodbye(GoodbyeReason::Left));
    let refuse = Frame::Refuse(Refusal::Removed(Incarnation(1)).into());
    let sound = [hello("b", "membership"), confirm("b"), ping.clone(), digest, app.clone()];
    let mut later = frames(&sound[..1]);
    later.extend_from_slice(&[0, 0, 0, 2, 0x80, 9]);
    later.extend(frames(&sound[1..]));
    let mut broken = frames(&sound);
    broken[60] ^= 0xff;
    vec![
        frames(&sound),
        frames(&[sound[0].clone(), sound[1].clone(), goodbye]),
        frames(&[hello("b", "membership"), confirm("c")]),
        frames(&[hello("a", "membership"), confirm("a")]),
        frames(&[hello("b", "bulk"), confirm("b")]),
        frames(&[hello("b", "none")]),
        frames(&[hello("b", "membership"), hello("b", "membership")]),
        frames(&[app]),
        frames(&[ping]),
        frames(&[refuse]),
        later,
        broken,
        frames(&sound)[..90].to_vec(),
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        vec![0xff; 16],
        Vec::new(),
    ]
}

fn hello(name: &str, channel: &str) -> Hello {
    let cluster = ClusterName::new("a").expect("a good name");
    let name = NodeName::new(name).expect("a good name");
    let channel = ChannelName::new(channel).expect("a good name");
    Hello::of_stranger(cluster, name, channel, [9; 32])
}

fn confirm(name: &str) -> Frame {
    let bulk = ChannelName::new("bulk").expect("a good name");
    let channels = Channels::new([(bulk, ChannelOptions::lanes(2))]);
    let name = NodeName::new(name).expect("a good name");
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 2)).into();
    let spec = NodeSpec::new(name, vec![address], &channels.expect("good"), Vec::new());
    let spec = Some(Arc::new(spec.expect("a good spec")));
    Frame::Control(ControlMessage::Confirm(Box::new(Confirm { proof: None, spec, known: None })))
}

/// A script for the `node` target, in the bytes from which `Arbitrary` reads it: a join that
/// succeeds, then accidents, then forged events.
fn script(random: &mut XorShift, number: usize) -> Vec<u8> {
    let mut bytes = vec![(number & 1) as u8];
    step(&mut bytes, 3, &[(number >> 1 & 1) as u8]);
    step(&mut bytes, 2, &[80]);
    for _ in 0..4 + number * 2 {
        let [kind, argument, more] = random.next().to_le_bytes()[..3] else {
            continue;
        };
        match kind % 8 {
            0 => step(&mut bytes, 0, &[argument, more % 40]),
            1..=3 => step(&mut bytes, 2, &[argument % 64]),
            4 => step(&mut bytes, 4, &[argument]),
            5 => step(&mut bytes, 5, &[argument]),
            6 => step(&mut bytes, 6, &[argument]),
            _ if more == 0 => step(&mut bytes, 1, &[argument, argument]),
            _ => step(&mut bytes, 3, &[argument & 1]),
        }
    }
    for _ in 0..number % 6 {
        let event = random.bytes(24);
        step(&mut bytes, 7, &[&[(number & 1) as u8], &event[..]].concat());
    }
    bytes
}

/// A script for the `broadcasts` target: broadcasts of both, with all that a peer and an application
/// may say in between.
fn broadcasts(random: &mut XorShift, number: usize) -> Vec<u8> {
    let mut bytes = vec![(number & 1) as u8];
    for _ in 0..6 + number * 2 {
        let [kind, which, argument] = random.next().to_le_bytes()[..3] else {
            continue;
        };
        let noise = random.bytes(32);
        let with_noise = [&[which & 1], &noise[..]].concat();
        match kind % 16 {
            0..=3 => one_of(&mut bytes, 5, MOVES, &[which & 1, argument % 3, argument >> 3]),
            4..=7 => one_of(&mut bytes, 1, MOVES, &[argument % 64]),
            8 => one_of(&mut bytes, 0, MOVES, &[argument, which % 16]),
            9 | 10 => one_of(&mut bytes, 6, MOVES, &[&[which & 1, argument], &noise[..8]].concat()),
            11 | 12 => one_of(&mut bytes, 3, MOVES, &with_noise),
            13 => one_of(&mut bytes, 4, MOVES, &with_noise),
            14 => one_of(&mut bytes, 8, MOVES, &[which & 1, argument, argument & 1]),
            _ => one_of(&mut bytes, 9 + u64::from(argument & 1), MOVES, &[which & 1]),
        }
    }
    bytes
}

/// How many moves a script of the `broadcasts` target chooses from.
const MOVES: u64 = 11;

/// References as bytes and as text, sound and not, and noise that stands for some.
fn references(random: &mut XorShift) -> Vec<Vec<u8>> {
    let texts = [
        "partisan:pid:#0123456789abcdef:1:2",
        "partisan:pid:a%3ab@host:1700000000000:18446744073709551615",
        "partisan:name:a@host:some%25name",
        "partisan:name:#0123456789abcdef:%23x:later",
        "partisan:ref:%23a:1:2:3",
        "partisan:ref:#0123456789abcdef:1:2",
        "partisan:pid:a:+1:2",
        "partisan:pid:a:0:2",
        "erlang:pid:a:1:2",
        "a:b#c%d@host",
    ];
    let texts = texts.iter().map(|text| text.as_bytes().to_vec());
    let parsed = texts.clone().filter_map(|text| String::from_utf8(text).ok()?.parse().ok());
    let bytes: Vec<Vec<u8>> = parsed.map(|one: Reference| one.to_bytes()).collect();
    let noise = (0..12).map(|i| random.bytes(8 + i * 4));
    texts.chain(bytes).chain(noise).collect()
}

/// A script for the `processes` target: processes that come to life, do things and end, with a peer
/// that lies in between.
fn processes(random: &mut XorShift, number: usize) -> Vec<u8> {
    const MOVES: u64 = 9;
    let mut bytes = Vec::new();
    for _ in 0..12 + number * 2 {
        let [kind, which, argument] = random.next().to_le_bytes()[..3] else {
            continue;
        };
        let noise = random.bytes(48);
        let with_noise = |first: &[u8]| [first, &noise[..]].concat();
        match kind % 16 {
            0..=2 => one_of(&mut bytes, 3, MOVES, &[which & 1, argument & 1, 0]),
            3..=8 => one_of(&mut bytes, 4, MOVES, &with_noise(&[which & 1, argument])),
            9..=11 => one_of(&mut bytes, 1, MOVES, &[argument % 64]),
            12 => one_of(&mut bytes, 0, MOVES, &[argument, which % 16]),
            13 => one_of(&mut bytes, 5, MOVES, &with_noise(&[which & 1])),
            14 => one_of(&mut bytes, 6, MOVES, &with_noise(&[which & 1, argument])),
            _ if argument & 3 == 0 => one_of(&mut bytes, 2, MOVES, &[argument]),
            _ => one_of(&mut bytes, 8, MOVES, &[which & 1]),
        }
    }
    bytes
}

/// A script for the `deliveries` target: messages in both directions over links that break.
fn deliveries(random: &mut XorShift, number: usize) -> Vec<u8> {
    const MOVES: u64 = 5;
    let mut bytes = Vec::new();
    for _ in 0..10 + number * 3 {
        let [kind, which, argument, key] = random.next().to_le_bytes()[..4] else {
            continue;
        };
        match kind % 12 {
            0..=5 => {
                let arguments = [which & 1, which >> 1 & 1, 1, key % 4, argument & 1];
                one_of(&mut bytes, 4, MOVES, &arguments);
            }
            6 | 7 => one_of(&mut bytes, 1, MOVES, &[argument % 32]),
            8 | 9 => one_of(&mut bytes, 2, MOVES, &[argument]),
            10 => one_of(&mut bytes, 0, MOVES, &[argument, which % 32]),
            _ => one_of(&mut bytes, 3, MOVES, &[argument]),
        }
    }
    bytes
}

/// One of the eight steps: go on, which, with what.
fn step(bytes: &mut Vec<u8>, which: u64, arguments: &[u8]) {
    one_of(bytes, which, 8, arguments);
}

fn one_of(bytes: &mut Vec<u8>, which: u64, of: u64, arguments: &[u8]) {
    bytes.push(1);
    let selector = ((which << 32) / of + 1) as u32;
    bytes.extend_from_slice(&selector.to_le_bytes());
    bytes.extend_from_slice(arguments);
}

struct XorShift(u64);

impl XorShift {
    /// The numbers of a target: its own, so that one more draw for another leaves its seeds as they
    /// are.
    fn of(target: &str) -> Self {
        Self(target.bytes().fold(0x5eed, |seed, byte| seed.wrapping_mul(31) + u64::from(byte)))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| (self.next() >> 32) as u8).collect()
    }
}
