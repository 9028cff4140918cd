//! The rules of the wire, one test each.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;

use super::strategies::{frame, name_text, refusal};
use super::*;
use crate::config::Channels;
use crate::error::Refusal;
use crate::id::{ChannelName, ClusterName, Epoch, Incarnation, NAME_LIMIT, NodeName};
use crate::spec::{Host, NodeSpec};

const LIMIT: u32 = 1 << 20;

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(frame, &mut bytes);
    bytes
}

/// A frame as bytes, whatever is in it.
fn raw(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_u32(1 + body.len() as u32);
    bytes.put_u8(kind);
    bytes.put_slice(body);
    bytes
}

fn decode_one(bytes: &[u8], limit: u32) -> Result<Decoded, DecodeError> {
    decode(&mut BytesMut::from(bytes), limit)
}

fn decode_frame(bytes: &[u8]) -> Result<Frame, DecodeError> {
    match decode_one(bytes, LIMIT)? {
        Decoded::Frame(frame) => Ok(frame),
        other => panic!("no frame but {other:?}"),
    }
}

fn hello() -> Hello {
    let (cluster, channel) = ("c".parse().unwrap(), "membership".parse().unwrap());
    let name = NodeName::new("a@h").unwrap();
    Hello { max_frame: LIMIT, ..Hello::of_stranger(cluster, name, channel, [7; 32]) }
}

/// Where the fields of a hello's body begin.
mod offset {
    pub(super) const VERSIONS: usize = 8;
    pub(super) const MAX_FRAME: usize = 20;
    pub(super) const ROLE: usize = 24;
    pub(super) const INCARNATION: usize = 25;
    pub(super) const EPOCH: usize = 33;
    pub(super) const CLUSTER: usize = 82;
}

fn hello_body() -> Vec<u8> {
    let mut body = Vec::new();
    hello().encode(&mut body);
    body
}

fn app(payload: usize) -> Frame {
    Frame::App { destination: Destination::Inbox, payload: vec![1; payload].into() }
}

proptest! {
    /// W6: what is encoded decodes to itself, whatever it is.
    #[test]
    fn every_frame_round_trips(frame in frame()) {
        prop_assert_eq!(decode_frame(&encoded(&frame)), Ok(frame));
    }

    /// W1: however the network cuts the stream, the same frames come out, and no byte is left.
    #[test]
    fn any_chunking_of_any_frames_decodes_to_them(
        frames in proptest::collection::vec(frame(), 0..6),
        cuts in proptest::collection::vec(1..3_000usize, 1..8),
    ) {
        let stream: Vec<u8> = frames.iter().flat_map(encoded).collect();
        let mut buffer = BytesMut::new();
        let mut decoded = Vec::new();
        let mut rest = &stream[..];
        for cut in cuts.iter().cycle() {
            let (chunk, later) = rest.split_at((*cut).min(rest.len()));
            buffer.extend_from_slice(chunk);
            rest = later;
            loop {
                match decode(&mut buffer, LIMIT).unwrap() {
                    Decoded::Frame(frame) => decoded.push(frame),
                    Decoded::Incomplete(more) => {
                        prop_assert!(more > 0);
                        break;
                    }
                    Decoded::Skipped => prop_assert!(false, "nothing was to be skipped"),
                }
            }
            if rest.is_empty() {
                break;
            }
        }
        prop_assert!(buffer.is_empty());
        prop_assert_eq!(decoded, frames);
    }

    /// Frames that are taken together are what `decode` makes of each, whole or damaged or cut.
    #[test]
    fn frames_taken_together_are_what_decode_finds_one_by_one(
        frames in proptest::collection::vec(frame(), 0..6),
        damage in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut stream: Vec<u8> = frames.iter().flat_map(encoded).collect();
        if let (Some((place, byte)), false) = (damage, stream.is_empty()) {
            let place = place.index(stream.len());
            stream[place] = byte;
        }
        stream.truncate(stream.len() - cut.index(stream.len() + 1) / 4);
        let mut single = BytesMut::from(&stream[..]);
        let mut expected = Vec::new();
        let end = loop {
            match decode(&mut single, LIMIT) {
                Ok(Decoded::Incomplete(missing)) => break Ok(missing),
                Ok(decoded) => expected.push(decoded),
                Err(error) => break Err(error),
            }
        };
        let mut buffer = BytesMut::from(&stream[..]);
        let mut found = Vec::new();
        let mut failed = None;
        for decoded in Frames::take(&mut buffer, LIMIT) {
            match decoded {
                Ok(decoded) => found.push(decoded),
                Err(error) => failed = Some(error),
            }
        }
        prop_assert_eq!(found, expected);
        prop_assert_eq!(failed.map_or_else(|| missing(&buffer, LIMIT), Err), end);
    }

    /// W3: arbitrary bytes behind any prefix end in a frame or a typed error.
    #[test]
    fn garbage_never_panics(kind in 0..6u8, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_one(&raw(kind, &body), LIMIT);
    }

    /// W3: a valid frame with one byte changed ends in a frame or a typed error.
    #[test]
    fn damage_never_panics(frame in frame(), place in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = encoded(&frame);
        let place = place.index(bytes.len());
        bytes[place] = byte;
        let _ = decode_one(&bytes, LIMIT);
    }

    /// A frame that is cut short within its announced length is malformed, never misread.
    #[test]
    fn a_truncated_hello_or_refusal_is_an_error(refusal in refusal(), cut in 0..10usize) {
        let mut body = Vec::new();
        Refuse::from(refusal).encode(&mut body);
        prop_assert_eq!(decode_frame(&raw(3, &body[..cut])), Err(DecodeError::Truncated));
        let whole = hello_body();
        for cut in 8..whole.len() {
            prop_assert_eq!(decode_frame(&raw(0, &whole[..cut])), Err(DecodeError::Truncated));
        }
    }

    #[test]
    fn a_named_destination_keeps_its_name(text in name_text()) {
        let destination = Destination::name(&text).unwrap();
        prop_assert_eq!(destination.as_name(), Some(text.as_str()));
    }
}

#[test]
fn the_length_may_arrive_byte_by_byte() {
    let bytes = encoded(&app(3));
    let mut buffer = BytesMut::new();
    for (arrived, byte) in bytes.iter().enumerate() {
        let missing = match arrived {
            0..5 => 5 - arrived,
            _ => bytes.len() - arrived,
        };
        assert_eq!(decode(&mut buffer, LIMIT), Ok(Decoded::Incomplete(missing)));
        assert_eq!(buffer.len(), arrived, "an incomplete frame stays");
        buffer.put_u8(*byte);
    }
    assert_eq!(decode(&mut buffer, LIMIT), Ok(Decoded::Frame(app(3))));
}

#[test]
fn a_length_of_zero_is_an_error_before_the_kind_arrives() {
    assert_eq!(decode_one(&[0; 4], LIMIT), Err(DecodeError::Empty));
    assert_eq!(decode_one(&[0; 5], LIMIT), Err(DecodeError::Empty));
}

#[test]
fn an_empty_payload_is_legal() {
    assert_eq!(decode_frame(&encoded(&app(0))), Ok(app(0)));
}

#[test]
fn an_application_frame_may_reach_the_limit_and_no_more() {
    let limit = MIN_FRAME_LIMIT;
    let longest = app(limit as usize - 2);
    let decoded = decode_one(&encoded(&longest), limit);
    assert_eq!(decoded, Ok(Decoded::Frame(longest)));
    let length = limit + 1;
    let oversize = Err(DecodeError::Oversize { length, limit });
    assert_eq!(decode_one(&encoded(&app(limit as usize - 1)), limit), oversize);
}

#[test]
fn an_oversize_frame_is_told_from_its_prefix_alone() {
    let oversize = |length, limit| Err(DecodeError::Oversize { length, limit });
    let mut prefix = u32::MAX.to_be_bytes().to_vec();
    assert_eq!(decode_one(&prefix, LIMIT), Ok(Decoded::Incomplete(1)), "the kind sets the limit");
    prefix.push(1);
    let mut buffer = BytesMut::from(&prefix[..]);
    let room = buffer.capacity();
    assert_eq!(decode(&mut buffer, LIMIT), oversize(u32::MAX, LIMIT));
    assert_eq!(buffer.capacity(), room, "nothing is reserved for it");
}

#[test]
fn other_kinds_have_limits_of_their_own_whatever_the_limit_of_messages() {
    for (kind, limit) in [(2, MAX_CONTROL_FRAME), (0, MAX_HELLO_FRAME), (3, MAX_HELLO_FRAME)] {
        for messages in [MIN_FRAME_LIMIT, LIMIT] {
            let mut bytes = (limit + 1).to_be_bytes().to_vec();
            bytes.push(kind);
            let length = limit + 1;
            let oversize = Err(DecodeError::Oversize { length, limit });
            assert_eq!(decode_one(&bytes, messages), oversize);
            bytes[..4].copy_from_slice(&limit.to_be_bytes());
            let missing = limit as usize - 1;
            assert_eq!(decode_one(&bytes, messages), Ok(Decoded::Incomplete(missing)));
        }
    }
}

#[test]
fn an_unknown_kind_is_an_error_at_once_unless_it_may_be_skipped() {
    for kind in 12..0x80 {
        let prefix = [0, 0, 1, 0, kind];
        assert_eq!(decode_one(&prefix, LIMIT), Err(DecodeError::UnknownKind(kind)));
    }
    for kind in 0x80..=u8::MAX {
        let mut buffer = BytesMut::from(&raw(kind, b"of a later version")[..]);
        encode_into(&app(1), &mut buffer);
        assert_eq!(decode(&mut buffer, LIMIT), Ok(Decoded::Skipped));
        assert_eq!(decode(&mut buffer, LIMIT), Ok(Decoded::Frame(app(1))));
    }
}

fn encode_into(frame: &Frame, buffer: &mut BytesMut) {
    buffer.extend_from_slice(&encoded(frame));
}

#[test]
fn bytes_behind_a_control_message_are_an_error() {
    let mut body = Vec::new();
    ControlMessage::Ping { id: 1 }.encode(&mut body);
    assert!(decode_frame(&raw(2, &body)).is_ok());
    body.push(0);
    assert_eq!(decode_frame(&raw(2, &body)), Err(DecodeError::BadControl));
    assert_eq!(decode_frame(&raw(2, &[])), Err(DecodeError::BadControl));
}

#[test]
fn a_control_message_of_a_later_version_is_an_error() {
    assert_eq!(decode_frame(&raw(2, &[0x7f])), Err(DecodeError::BadControl));
}

#[test]
fn a_list_longer_than_its_type_allows_is_an_error() {
    let mut body = vec![5, 2];
    let nodes = vec![0u64; MAX_SUMMARY + 1];
    body.extend(postcard::to_allocvec(&nodes).unwrap());
    assert_eq!(decode_frame(&raw(2, &body)), Err(DecodeError::BadControl));
    let mut body = vec![5, 2];
    body.extend(postcard::to_allocvec(&nodes[1..]).unwrap());
    assert!(decode_frame(&raw(2, &body)).is_ok());
}

#[test]
fn a_list_that_announces_more_than_arrived_allocates_nothing_for_it() {
    // A request for 1,023 nodes, of which none follows.
    assert_eq!(decode_frame(&raw(2, &[5, 2, 0xff, 7])), Err(DecodeError::BadControl));
    // A length that does not fit into any list.
    let endless = [5, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    assert_eq!(decode_frame(&raw(2, &endless)), Err(DecodeError::BadControl));
}

#[test]
fn a_hello_with_a_tail_of_a_later_version_is_read() {
    let mut body = hello_body();
    body.extend_from_slice(b"what comes in version 2");
    assert_eq!(decode_frame(&raw(0, &body)), Ok(Frame::Hello(hello().into())));
}

#[test]
fn a_hello_starts_with_the_magic() {
    assert_eq!(decode_frame(&raw(0, b"GET / HTTP/1.1")), Err(DecodeError::NotPartisan));
    assert_eq!(decode_frame(&raw(0, b"PART")), Err(DecodeError::NotPartisan));
}

/// A hello with some bytes of its body replaced.
fn spoilt(at: usize, bytes: &[u8]) -> Result<Frame, DecodeError> {
    let mut body = hello_body();
    body[at..at + bytes.len()].copy_from_slice(bytes);
    decode_frame(&raw(0, &body))
}

#[test]
fn a_hello_with_impossible_content_is_an_error() {
    let bad = Err(DecodeError::BadHello);
    assert_eq!(spoilt(offset::VERSIONS, &[0, 2, 0, 1]), bad, "versions the wrong way round");
    assert_eq!(spoilt(offset::ROLE, &[2]), bad, "a third role");
    assert_eq!(spoilt(offset::INCARNATION, &[0; 8]), bad, "no incarnation");
    assert_eq!(spoilt(offset::MAX_FRAME, &[0, 0, 3, 0xff]), bad, "a limit nobody can keep");
    assert_eq!(spoilt(offset::CLUSTER + 1, b" "), bad, "white space in a name");
    assert_eq!(spoilt(offset::CLUSTER + 1, b"*"), bad, "a reserved name");
    assert_eq!(spoilt(offset::CLUSTER + 1, &[0xff]), bad, "a name that is not UTF-8");
    assert!(spoilt(offset::CLUSTER + 1, b"d").is_ok());
    let mut unnamed = hello_body();
    unnamed.splice(offset::CLUSTER..offset::CLUSTER + 2, [0]);
    assert_eq!(decode_frame(&raw(0, &unnamed)), bad, "an empty name");
}

#[test]
fn hellos_of_other_versions_are_read_and_compared() {
    let Ok(Frame::Hello(later)) = spoilt(offset::VERSIONS, &[0, 1, 0, 9]) else {
        panic!("a range of versions is legal");
    };
    assert_eq!(VersionRange::OURS.common(later.versions), Some(1));
    let range = |least, most| VersionRange { least, most };
    assert_eq!(range(1, 3).common(range(2, 5)), Some(3));
    assert_eq!(range(1, 3).common(range(3, 3)), Some(3));
    assert_eq!(range(1, 3).common(range(4, 5)), None);
    assert_eq!(range(4, 5).common(range(1, 3)), None);
}

#[test]
fn a_refusal_of_a_later_version_is_read() {
    let body = [0x12, 0x34, 0, 0, 0, 0, 0, 0, 0, 9, 0xff];
    let refuse = Refuse::from(Refusal::Other(0x1234));
    assert_eq!(decode_frame(&raw(3, &body)), Ok(Frame::Refuse(refuse)));
}

#[test]
fn no_incarnation_is_greater_than_the_last() {
    let body = [0, 9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let refuse = Refuse::from(Refusal::Removed(Incarnation::MOST));
    assert_eq!(decode_frame(&raw(3, &body)), Ok(Frame::Refuse(refuse)));
    assert_eq!(Incarnation::MOST.next(), Incarnation::MOST);
    let bad = Err(DecodeError::BadHello);
    assert_eq!(spoilt(offset::INCARNATION, &[0xff; 8]), bad);
    let entry = Gossip::Delta(Delta {
        entries: Bounded::from_first([Entry {
            node: crate::id::NodeId::from_u64(1),
            removed: Incarnation(Incarnation::MOST.0 + 1),
            presence: None,
        }]),
    });
    let bytes = encoded(&Frame::Control(ControlMessage::Gossip(entry)));
    assert_eq!(decode_frame(&bytes), Err(DecodeError::BadControl));
}

#[test]
fn no_epoch_is_greater_than_the_last() {
    let last = Epoch::MOST.0.to_be_bytes();
    assert!(matches!(spoilt(offset::EPOCH, &last), Ok(Frame::Hello(h)) if h.epoch == Epoch::MOST));
    let beyond = (Epoch::MOST.0 + 1).to_be_bytes();
    assert_eq!(spoilt(offset::EPOCH, &beyond), Err(DecodeError::BadHello));
    let epoch = Epoch(Epoch::MOST.0 + 1);
    let accept = ControlMessage::Accept(Accept { proof: None, spec: None, epoch }.into());
    let bytes = encoded(&Frame::Control(accept));
    assert_eq!(decode_frame(&bytes), Err(DecodeError::BadControl));
}

#[test]
fn what_is_wrong_with_a_frame_is_the_same_however_it_is_cut() {
    // A length that no kind allows, then kinds of different limits, and none.
    for kind in [0, 1, 2, 3, 9, 0x80] {
        let stream = [0x3d, 0, 0, 0x2c, kind];
        let whole = decode(&mut BytesMut::from(&stream[..]), 1 << 20);
        assert!(whole.is_err(), "{kind}");
        let cut = decode(&mut BytesMut::from(&stream[..4]), 1 << 20);
        assert_eq!(cut, Ok(Decoded::Incomplete(1)), "{kind}");
    }
}

#[test]
fn application_headers_are_checked() {
    let error = |body: &[u8]| decode_frame(&raw(1, body)).unwrap_err();
    assert_eq!(error(&[]), DecodeError::Truncated);
    assert_eq!(error(&[1]), DecodeError::Truncated);
    assert_eq!(error(&[1, 2, b'a']), DecodeError::Truncated);
    assert_eq!(error(&[1, 0, b'a']), DecodeError::BadHeader, "an empty name");
    assert_eq!(error(&[1, 1, 0xff]), DecodeError::BadHeader, "not UTF-8");
    assert_eq!(error(&[2, 1]), DecodeError::Truncated);
    assert_eq!(error(&[2, 1, 0x80]), DecodeError::Truncated);
    assert_eq!(
        error(&[2, 1, 0x80, 0]),
        DecodeError::BadHeader,
        "a number written longer than needed"
    );
    let mut beyond = [0xff; 12];
    (beyond[0], beyond[1], beyond[11]) = (2, 1, 2);
    assert_eq!(error(&beyond), DecodeError::BadHeader, "more than 64 bits");
    assert_eq!(error(&[3, b'a']), DecodeError::BadHeader, "an unknown flag");
    let named = decode_frame(&raw(1, &[1, 1, b'a', b'x'])).unwrap();
    let destination = Destination::name("a").unwrap();
    let payload = Bytes::from_static(b"x");
    assert_eq!(named, Frame::App { destination, payload });
}

#[test]
fn a_destination_has_1_to_255_bytes() {
    assert_eq!(Destination::name(""), None);
    assert_eq!(Destination::name(&"x".repeat(256)), None);
    let destination = Destination::name(&"x".repeat(255)).unwrap();
    assert_eq!(AppHeader { destination }.encoded_len(), MAX_APP_HEADER);
}

#[test]
fn a_header_takes_as_many_bytes_as_it_says() {
    for destination in [Destination::Inbox, Destination::name("größe").unwrap()] {
        let header = AppHeader { destination };
        let mut out = Vec::new();
        encode_app_header(&header, &mut out);
        assert_eq!(out.len(), header.encoded_len());
    }
}

#[test]
fn payloads_and_names_share_the_memory_of_the_read() {
    let frame = Frame::App {
        destination: Destination::name("store").unwrap(),
        payload: vec![7; 1_000].into(),
    };
    let mut buffer = BytesMut::from(&encoded(&frame)[..]);
    let read = buffer.as_ptr_range();
    let Ok(Decoded::Frame(Frame::App { destination, payload })) = decode(&mut buffer, LIMIT) else {
        panic!("no application frame");
    };
    assert!(read.contains(&payload.as_ptr()));
    assert!(read.contains(&destination.as_name().unwrap().as_ptr()));
}

/// A spec as it stands on the wire, unchecked.
fn spec_bytes(name: &str, host: &str, port: u16) -> Vec<u8> {
    #[derive(serde::Serialize)]
    enum Loose<'a> {
        #[expect(dead_code, reason = "keeps the place of the variant")]
        Ip(()),
        Name(&'a str),
    }
    let addresses = vec![(Loose::Name(host), port)];
    let (channels, tags): (Vec<(&str, u8)>, Vec<&str>) = (Vec::new(), Vec::new());
    postcard::to_allocvec(&(name, addresses, channels, tags)).unwrap()
}

/// A `Confirm` without proof that introduces this node.
fn introduce(name: &str, host: &str, port: u16) -> Result<Frame, DecodeError> {
    let mut body = vec![0, 0, 1];
    body.extend(spec_bytes(name, host, port));
    body.push(0);
    decode_frame(&raw(2, &body))
}

#[test]
fn names_and_hosts_are_checked_on_arrival() {
    let bad = Err(DecodeError::BadControl);
    let fine = introduce("a@h", "db-1.example", 9_000).unwrap();
    let Frame::Control(ControlMessage::Confirm(confirm)) = fine else {
        panic!("no confirm");
    };
    let spec: Arc<NodeSpec> = confirm.spec.unwrap();
    assert_eq!(spec.id(), NodeName::new("a@h").unwrap().id());
    assert_eq!(spec.addresses()[0].host, Host::Name("db-1.example".into()));

    assert_eq!(introduce("a h", "h", 1), bad, "white space in a name");
    assert_eq!(introduce("", "h", 1), bad, "an empty name");
    assert_eq!(introduce("_", "h", 1), bad, "a reserved name");
    assert_eq!(introduce(&"x".repeat(NAME_LIMIT + 1), "h", 1), bad, "too long a name");
    assert!(introduce(&"x".repeat(NAME_LIMIT), "h", 1).is_ok());
    assert_eq!(introduce("a", "h", 0), bad, "no port");
    assert_eq!(introduce("a", "", 1), bad, "an empty host");
    assert_eq!(introduce("a", "a b", 1), bad, "white space in a host");
    assert_eq!(introduce("a", "1.2.3", 1), bad, "half an IP address");
    assert_eq!(introduce("a", &"h".repeat(254), 1), bad, "too long a host");
    assert!(introduce("a", &"h".repeat(253), 1).is_ok());
}

#[test]
fn the_longest_spec_fits_into_a_control_frame() {
    let text = |i: u8| {
        let mut text = String::from(char::from(b'a' + i % 26));
        text.push(char::from(b'a' + i / 26));
        text + &"x".repeat(NAME_LIMIT - 2)
    };
    let address =
        |i: u8| crate::spec::Address { host: Host::Name(text(i)[..253].into()), port: u16::MAX };
    let options = crate::config::ChannelOptions::lanes(64);
    let channels = (0..30).map(|i| (ChannelName::new(&text(i)).unwrap(), options));
    let spec = NodeSpec::new(
        NodeName::new(&text(0)).unwrap(),
        (0..8).map(address).collect(),
        &Channels::new(channels).unwrap(),
        (0..8).map(|i| crate::id::Tag::new(&text(i)).unwrap()).collect(),
    );
    let spec = Some(Arc::new(spec.unwrap()));
    let proof = Some([0xff; 32]);
    let epoch = Epoch::MOST;
    let frame = Frame::Control(ControlMessage::Accept(Accept { proof, spec, epoch }.into()));
    let bytes = encoded(&frame);
    assert!(bytes.len() < MAX_CONTROL_FRAME as usize);
    assert_eq!(decode_frame(&bytes), Ok(frame));
}

#[test]
fn the_longest_hello_leaves_room_for_later_versions() {
    let text = "x".repeat(NAME_LIMIT);
    let mut hello = hello();
    hello.cluster = ClusterName::new(&text).unwrap();
    hello.name = NodeName::new(&text).unwrap();
    hello.channel = ChannelName::new(&text).unwrap();
    let bytes = encoded(&Frame::Hello(hello.into()));
    assert!(bytes.len() * 4 < MAX_HELLO_FRAME as usize);
}

#[test]
fn the_longest_summary_and_request_fit_into_a_control_frame() {
    let (node, entry) = (
        crate::id::NodeId::from_u64(u64::MAX),
        SummaryEntry {
            node: crate::id::NodeId::from_u64(u64::MAX),
            hash: u64::MAX,
            removed: Incarnation::MOST,
            present: Incarnation::MOST,
        },
    );
    let summary = Gossip::Summary(Summary {
        first: node,
        last: node,
        entries: Bounded::from_first(vec![entry; MAX_SUMMARY]),
    });
    let request = Gossip::Request(Request { nodes: Bounded::from_first(vec![node; MAX_SUMMARY]) });
    for gossip in [summary, request] {
        let bytes = encoded(&Frame::Control(ControlMessage::Gossip(gossip)));
        assert!(decode_frame(&bytes).is_ok(), "{} bytes", bytes.len());
    }
}

/// What moves through every queue stays small; the fat parts are boxed.
#[cfg(target_pointer_width = "64")]
#[test]
fn messages_are_small() {
    use core::mem::size_of;
    assert_eq!(size_of::<ControlMessage>(), 40);
    assert_eq!(size_of::<Frame>(), 72);
    assert_eq!(size_of::<crate::Action>(), 96);
    // A `Send` has 97 bytes; boxing it would cost an allocation for each message.
    assert_eq!(size_of::<crate::Event>(), 112);
}

#[test]
fn the_stable_hash_is_the_same_everywhere() {
    use core::hash::Hasher;
    let hash = |feed: &dyn Fn(&mut StableHasher)| {
        let mut hasher = StableHasher::default();
        feed(&mut hasher);
        hasher.finish()
    };
    assert_eq!(hash(&|h| h.write_u16(0x0102)), hash(&|h| h.write(&[2, 1])));
    assert_eq!(hash(&|h| h.write_usize(5)), hash(&|h| h.write_u64(5)));
    assert_eq!(hash(&|h| h.write_isize(-5)), hash(&|h| h.write_i64(-5)));
    let halves = hash(&|h| {
        h.write_u64(0);
        h.write_u64(1);
    });
    assert_eq!(hash(&|h| h.write_u128(1 << 64)), halves);
}
