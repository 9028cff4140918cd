//! Everything that may stand in a frame, for property tests: empty, longest and non-ASCII included.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::call::Failure;
use crate::config::{ChannelOptions, Channels, MAX_CHANNELS};
use crate::error::Refusal;
use crate::id::{
    ChannelName, ClusterName, Epoch, HandlerId, Incarnation, Instance, LabelId, MessageId,
    NAME_LIMIT, NodeId, NodeName, ProcessName, Tag,
};
use crate::process::{ExitReason, MAX_REASON, MonitorId, RequestId, Serial};
use crate::spec::{Address, Host, MAX_ADDRESSES, MAX_TAGS, NodeSpec};

/// Any frame that an encoder of this version may be asked for.
pub(crate) fn frame() -> BoxedStrategy<Frame> {
    prop_oneof![
        2 => hello().prop_map(|hello| Frame::Hello(Box::new(hello))),
        4 => app(),
        4 => relayed(),
        4 => broadcast(),
        4 => request(),
        4 => reliable(),
        4 => reply(),
        2 => process_message().prop_map(|message| Frame::Signal(Box::new(message))),
        4 => control().prop_map(Frame::Control),
        1 => (refusal(), option::of(any::<[u8; 32]>()))
            .prop_map(|(refusal, proof)| Frame::Refuse(Refuse { refusal, proof })),
    ]
    .boxed()
}

/// Texts that are names: one character, ASCII, other scripts, the longest.
pub(super) fn name_text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z0-9]{1,12}@[a-z0-9.]{1,12}",
        2 => "[à-ÿа-я一-龥😀-😏]{1,20}",
        1 => Just("x".repeat(NAME_LIMIT)),
        1 => Just("ä".repeat(NAME_LIMIT / 2)),
    ]
}

fn node_name() -> impl Strategy<Value = NodeName> {
    name_text().prop_map(|text| NodeName::new(&text).unwrap())
}

fn channel_name() -> impl Strategy<Value = ChannelName> {
    name_text().prop_map(|text| ChannelName::new(&text).unwrap())
}

fn node_id() -> impl Strategy<Value = NodeId> {
    any::<u64>().prop_map(NodeId::from_u64)
}

fn incarnation() -> impl Strategy<Value = Incarnation> {
    prop_oneof![0..4u64, 0..=Incarnation::MOST.0].prop_map(Incarnation)
}

fn address() -> impl Strategy<Value = Address> {
    let host = prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| Host::Ip(octets.into())),
        any::<[u8; 16]>().prop_map(|octets| Host::Ip(octets.into())),
        "[a-z][a-z0-9_-]{0,20}(\\.[a-z]{2,5})?".prop_map(|text| Host::Name(text.into())),
        Just(Host::Name("h".repeat(253).into())),
    ];
    (host, 1..=u16::MAX)
        .prop_map(|(host, port)| Address { host, port })
        .prop_filter("others can dial it", Address::is_dialable)
}

fn spec() -> impl Strategy<Value = Arc<NodeSpec>> {
    let options = (1..=64u8).prop_map(ChannelOptions::lanes);
    let room = MAX_CHANNELS - 2;
    let channels = proptest::collection::btree_map(channel_name(), options, 0..=room);
    let tags = vec(name_text().prop_map(|t| Tag::new(&t).unwrap()), 0..=MAX_TAGS);
    let parts = (node_name(), vec(address(), 0..=MAX_ADDRESSES), channels, tags);
    parts.prop_map(|(name, addresses, channels, tags)| {
        let channels = Channels::new(channels).unwrap();
        Arc::new(NodeSpec::new(name, addresses, &channels, tags).unwrap())
    })
}

fn hello() -> BoxedStrategy<Hello> {
    let numbers = (
        (any::<u16>(), any::<u16>()),
        any::<u64>(),
        MIN_FRAME_LIMIT..=u32::MAX,
        any::<bool>(),
        1..=Incarnation::MOST.0,
        0..=Epoch::MOST.0,
        option::of(1..=u64::MAX),
        any::<u8>(),
    );
    let names = (name_text(), node_name(), channel_name());
    (numbers, any::<[u8; 32]>(), names)
        .prop_map(|(numbers, nonce, (cluster, name, channel))| {
            let (versions, features, max_frame, dialled, incarnation, epoch, expected, lane) =
                numbers;
            Hello {
                versions: VersionRange {
                    least: versions.0.min(versions.1),
                    most: versions.0.max(versions.1),
                },
                features,
                max_frame,
                role: if dialled { Role::Connector } else { Role::Acceptor },
                incarnation: Incarnation(incarnation),
                epoch: Epoch(epoch),
                expected: expected.map(NodeId::from_u64),
                lane,
                nonce,
                cluster: ClusterName::new(&cluster).unwrap(),
                name,
                channel,
            }
        })
        .boxed()
}

fn relay_id() -> impl Strategy<Value = RelayId> {
    (node_id(), 1..=Incarnation::MOST.0, 1..=u64::MAX).prop_map(|(origin, life, sequence)| {
        RelayId { origin, incarnation: Incarnation(life), sequence }
    })
}

fn relayed() -> impl Strategy<Value = Frame> {
    let ways = (0..=MAX_RELAY_TTL).prop_flat_map(|ttl| (Just(ttl), 1..=MAX_RELAY_TTL + 1 - ttl));
    let cargo = prop_oneof![
        Just(Cargo::Message),
        (1..=u64::MAX).prop_flat_map(|sequence| (Just(sequence), 1..=sequence)).prop_flat_map(
            |(sequence, floor)| {
                terms(sequence).prop_map(move |terms| Cargo::Reliable { sequence, floor, terms })
            }
        ),
        (1..=Incarnation::MOST.0)
            .prop_map(|life| Cargo::Acknowledgement { life: Incarnation(life) }),
    ];
    let numbers = (ways, any::<bool>(), any::<Option<u64>>(), cargo);
    (relay_id(), node_id(), numbers, app()).prop_map(|(id, target, numbers, app)| {
        let ((ttl, hops), flooded, key, cargo) = numbers;
        let Frame::App { destination, payload } = app else { unreachable!("made by `app`") };
        let header = RelayHeader { id, target, ttl, hops, flooded, key, cargo, destination };
        Frame::Relayed { header: Box::new(header), payload }
    })
}

fn relay_message() -> impl Strategy<Value = RelayMessage> {
    let notice = || {
        (relay_id(), node_id(), any::<u8>())
            .prop_map(|(id, target, hops)| Box::new(RelayNotice { id, target, hops }))
    };
    let reason = proptest::sample::select(alloc::vec![
        RelayFailure::NoWay,
        RelayFailure::Expired,
        RelayFailure::Circle,
        RelayFailure::Congested,
        RelayFailure::TooLarge,
        RelayFailure::Partitioned,
    ]);
    prop_oneof![
        (notice(), reason).prop_map(|(notice, reason)| RelayMessage::Failed { notice, reason }),
        notice().prop_map(RelayMessage::Found),
        notice().prop_map(RelayMessage::Astray),
        (notice(), any::<u64>())
            .prop_map(|(notice, sequence)| RelayMessage::TooLarge { notice, sequence }),
    ]
}

fn partition_message() -> impl Strategy<Value = PartitionMessage> {
    let id = || {
        (node_id(), incarnation(), any::<u32>())
            .prop_map(|(origin, incarnation, number)| PartitionId { origin, incarnation, number })
    };
    prop_oneof![
        (id(), any::<u8>()).prop_map(|(id, ttl)| PartitionMessage::Inject { id, ttl }),
        (id(), any::<u8>()).prop_map(|(id, ttl)| PartitionMessage::Resolve { id, ttl }),
        sized(id(), MAX_PARTITIONS).prop_map(PartitionMessage::Active),
    ]
}

fn app() -> impl Strategy<Value = Frame> {
    let destination = prop_oneof![
        Just(Destination::Inbox),
        name_text().prop_map(|text| Destination::name(&text).unwrap()),
        process_at().prop_map(Destination::Process),
    ];
    (destination, payload()).prop_map(|(destination, payload)| Frame::App { destination, payload })
}

fn payload() -> impl Strategy<Value = Bytes> {
    let bytes =
        prop_oneof![Just(Vec::new()), vec(any::<u8>(), 1..300), Just([0xa5; 70_000].to_vec())];
    bytes.prop_map(Bytes::from)
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..300u64, any::<u64>()]
}

fn process_at() -> impl Strategy<Value = ProcessAt> {
    (incarnation(), number())
        .prop_map(|(birth, serial)| ProcessAt { birth, serial: Serial(serial) })
}

fn process_name() -> impl Strategy<Value = ProcessName> {
    name_text().prop_map(|text| ProcessName::new(&text).unwrap())
}

fn request_id() -> impl Strategy<Value = RequestId> {
    (number(), number()).prop_map(|(owner, number)| RequestId { owner: Serial(owner), number })
}

fn exit_reason() -> impl Strategy<Value = ExitReason> {
    let plain = proptest::sample::select(alloc::vec![
        ExitReason::Normal,
        ExitReason::Shutdown,
        ExitReason::Kill,
        ExitReason::Killed,
        ExitReason::NoProcess,
        ExitReason::NoConnection,
        ExitReason::SystemLimit,
    ]);
    let bytes = || prop_oneof![vec(any::<u8>(), 0..40), Just(alloc::vec![7; MAX_REASON])];
    prop_oneof![
        plain,
        bytes().prop_map(|bytes| ExitReason::other(&bytes).unwrap()),
        bytes().prop_map(|bytes| ExitReason::shutdown_with(&bytes).unwrap()),
        name_text().prop_map(|text| ExitReason::panicked(&text)),
    ]
}

fn dependency() -> impl Strategy<Value = Dependency> {
    (instance(), number()).prop_map(|(origin, number)| Dependency { origin, number })
}

/// Of the message of this number.
fn terms(sequence: u64) -> impl Strategy<Value = Terms> {
    let after = prop_oneof![1..4u64, any::<u64>()];
    let order = (any::<u64>(), option::of(after));
    let order = order.prop_map(|(order, after)| InOrder { order, after });
    (option::of(order), option::of(any::<u128>()))
        .prop_map(move |(order, id)| Terms { order, id }.of(sequence))
}

/// Messages that must arrive, and those of monotonic channels.
fn reliable() -> BoxedStrategy<Frame> {
    let elsewhere = (instance(), dependency(), any::<u32>())
        .prop_map(|(to, message, age)| Elsewhere { to, message, age });
    let causal = (
        any::<u64>().prop_map(LabelId::from_u64),
        number(),
        sized(dependency(), 100),
        sized(elsewhere, 100),
    );
    let causal = causal.prop_map(|(label, number, after, elsewhere)| CausalHeader {
        label,
        number,
        after,
        elsewhere,
    });
    let header = (number(), number(), option::of(causal));
    let header = header.prop_flat_map(|(sequence, floor, causal)| {
        terms(sequence).prop_map(move |terms| {
            let (causal, destination) = (causal.clone(), Destination::Inbox);
            ReliableHeader { sequence, floor, causal, terms, destination }
        })
    });
    let newest = (any::<u64>(), number());
    let newest = newest.prop_map(|(place, number)| {
        let destination = Destination::Inbox;
        NewestHeader { place, number, destination }
    });
    let kind = prop_oneof![header.prop_map(Ok), newest.prop_map(Err)];
    let frame = (kind, app()).prop_map(|(kind, app)| {
        let Frame::App { destination, payload } = app else { unreachable!("made by `app`") };
        match kind {
            Ok(header) => {
                let header = Box::new(ReliableHeader { destination, ..header });
                Frame::Reliable { header, payload }
            }
            Err(header) => {
                let header = Box::new(NewestHeader { destination, ..header });
                Frame::Newest { header, payload }
            }
        }
    });
    frame.boxed()
}

fn acknowledgement() -> BoxedStrategy<Acknowledgement> {
    let ranges = || sized((number(), number()), MAX_RANGES);
    let told = (number(), ranges(), ranges());
    let told = told.prop_map(|(upto, also, newest)| Acknowledgement { upto, also, newest });
    told.boxed()
}

fn request() -> BoxedStrategy<Frame> {
    let to = prop_oneof![
        process_at().prop_map(ServerAt::Process),
        process_name().prop_map(ServerAt::Name),
        process_name().prop_map(ServerAt::Function),
    ];
    (incarnation(), request_id(), to, payload())
        .prop_map(|(birth, request, to, payload)| Frame::Request {
            header: Box::new(RequestHeader { birth, request, to }),
            payload,
        })
        .boxed()
}

fn reply() -> BoxedStrategy<Frame> {
    let failure = prop_oneof![
        proptest::sample::select(alloc::vec![
            Failure::NoProcess,
            Failure::NoFunction,
            Failure::Overloaded,
            Failure::AnswerTooLarge,
            Failure::NotUnderstood,
        ]),
        exit_reason().prop_map(Failure::Exited),
        exit_reason().prop_map(|reason| match reason {
            ExitReason::Other(bytes) => Failure::Thrown(bytes),
            other => Failure::Exited(other),
        }),
    ];
    let outcome = prop_oneof![
        payload().prop_map(|payload| (None, payload)),
        failure.prop_map(|failure| (Some(failure), Bytes::new())),
    ];
    (incarnation(), request_id(), outcome)
        .prop_map(|(birth, request, (failure, payload))| Frame::Reply {
            header: Box::new(ReplyHeader { birth, request, failure }),
            payload,
        })
        .boxed()
}

fn process_message() -> BoxedStrategy<ProcessMessage> {
    let monitor = || {
        (number(), number()).prop_map(|(owner, number)| MonitorId { owner: Serial(owner), number })
    };
    let target = || {
        prop_oneof![
            process_at().prop_map(TargetAt::Process),
            process_name().prop_map(TargetAt::Name),
        ]
    };
    let pair = || (process_at(), process_at());
    prop_oneof![
        (monitor(), target(), option::of(channel_name()), any::<Option<u64>>()).prop_map(
            |(monitor, target, channel, key)| ProcessMessage::Monitor {
                monitor,
                target,
                channel,
                key,
            }
        ),
        monitor().prop_map(|monitor| ProcessMessage::Demonitor { monitor }),
        (monitor(), exit_reason())
            .prop_map(|(monitor, reason)| ProcessMessage::Down { monitor, reason }),
        monitor().prop_map(|monitor| ProcessMessage::DownSeen { monitor }),
        pair().prop_map(|(from, to)| ProcessMessage::Link { from, to }),
        pair().prop_map(|(from, to)| ProcessMessage::Unlink { from, to }),
        pair().prop_map(|(from, to)| ProcessMessage::Unlinked { from, to }),
        (process_at(), target(), exit_reason(), any::<bool>()).prop_map(
            |(from, to, reason, linked)| ProcessMessage::Exit { from, to, reason, linked }
        ),
        (incarnation(), request_id())
            .prop_map(|(birth, request)| ProcessMessage::Abandon { birth, request }),
    ]
    .boxed()
}

/// Every refusal there is; `Other` with codes of later versions.
pub(super) fn refusal() -> impl Strategy<Value = Refusal> {
    let plain = [
        Refusal::Version,
        Refusal::Cluster,
        Refusal::Secret,
        Refusal::UnexpectedPeer,
        Refusal::SelfConnection,
        Refusal::DuplicateName,
        Refusal::IdentifierCollision,
        Refusal::SimultaneousDial,
        Refusal::AlreadyConnected,
        Refusal::NoSession,
        Refusal::UnknownChannel,
        Refusal::TooMany,
        Refusal::Stopping,
        Refusal::NotWanted,
    ];
    prop_oneof![
        4 => proptest::sample::select(plain.to_vec()),
        1 => incarnation().prop_map(Refusal::StaleIncarnation),
        1 => incarnation().prop_map(Refusal::Removed),
        1 => (1_000..=u16::MAX).prop_map(Refusal::Other),
    ]
}

fn control() -> BoxedStrategy<ControlMessage> {
    let proof = || option::of(any::<Proof>());
    prop_oneof![
        (proof(), option::of(spec())).prop_map(|(proof, spec)| {
            let known = spec.as_ref().map(|_| Incarnation(9));
            ControlMessage::Confirm(Box::new(Confirm { proof, spec, known }))
        }),
        (proof(), option::of(spec()), 0..=Epoch::MOST.0).prop_map(|(proof, spec, epoch)| {
            let epoch = Epoch(epoch);
            ControlMessage::Accept(Box::new(Accept { proof, spec, epoch }))
        }),
        any::<u64>().prop_map(|id| ControlMessage::Ping { id }),
        any::<u64>().prop_map(|id| ControlMessage::Pong { id }),
        goodbye().prop_map(ControlMessage::Goodbye),
        gossip().prop_map(ControlMessage::Gossip),
        prop_oneof![
            relay_message().prop_map(ControlMessage::Relay),
            partition_message().prop_map(ControlMessage::Partition),
            process_message().prop_map(|message| ControlMessage::Process(Box::new(message))),
            acknowledgement().prop_map(|told| ControlMessage::Acknowledge(Box::new(told))),
        ],
        scamp().prop_map(ControlMessage::Scamp),
        star().prop_map(ControlMessage::Star),
        plumtree().prop_map(ControlMessage::Plumtree),
    ]
    .boxed()
}

fn instance() -> impl Strategy<Value = Instance> {
    (node_id(), incarnation()).prop_map(|(node, incarnation)| Instance { node, incarnation })
}

fn message_id() -> impl Strategy<Value = MessageId> {
    let id = (instance(), any::<u64>());
    id.prop_map(|(origin, sequence)| MessageId { origin, sequence })
}

fn handler_id() -> impl Strategy<Value = HandlerId> {
    any::<u64>().prop_map(HandlerId::from_u64)
}

fn broadcast() -> impl Strategy<Value = Frame> {
    let key = prop_oneof![Just(Vec::new()), vec(any::<u8>(), 1..20), Just([7; MAX_KEY].to_vec())];
    let payload = prop_oneof![Just(Vec::new()), vec(any::<u8>(), 1..300)];
    let flags = (any::<u8>(), any::<bool>(), any::<bool>());
    let parts = (message_id(), flags, handler_id(), key, payload);
    parts.prop_map(|(id, (hops, own, stored), handler, key, payload)| {
        let (key, payload) = (key.into(), payload.into());
        Frame::Broadcast(Arc::new(BroadcastMessage {
            id,
            hops,
            own,
            stored,
            handler,
            key,
            payload,
        }))
    })
}

fn plumtree() -> BoxedStrategy<PlumtreeMessage> {
    let tree = || prop_oneof![Just(TreeId::Shared), instance().prop_map(TreeId::Own)];
    let heartbeat = (instance(), any::<bool>(), any::<u64>(), any::<u8>(), any::<bool>());
    let heartbeat = heartbeat.prop_map(|(root, own, number, hops, parent)| Heartbeat {
        root,
        own,
        number,
        hops,
        parent,
    });
    let subject = || {
        let subject = (handler_id(), sized(any::<u8>(), MAX_KEY));
        option::of(subject.prop_map(|(handler, key)| Box::new(Subject { handler, key })))
    };
    let announcement = (message_id(), any::<u8>(), any::<bool>(), subject());
    let announcement =
        announcement.prop_map(|(id, hops, own, subject)| Announcement { id, hops, own, subject });
    let wanted = (message_id(), subject()).prop_map(|(id, subject)| Wanted { id, subject });
    let graft = (option::of(tree()), sized(wanted, MAX_ANNOUNCED));
    let range = (instance(), any::<u64>(), any::<u64>()).prop_map(|(origin, first, last)| Range {
        origin,
        first,
        last,
    });
    let holdings = (any::<bool>(), sized(range, MAX_HOLDINGS));
    prop_oneof![
        sized(heartbeat, MAX_HEARTBEATS).prop_map(PlumtreeMessage::Heartbeats),
        tree().prop_map(PlumtreeMessage::Prune),
        Just(PlumtreeMessage::Awake),
        sized(announcement, MAX_ANNOUNCED).prop_map(PlumtreeMessage::IHave),
        graft.prop_map(|(tree, wanted)| PlumtreeMessage::Graft(Box::new(Graft { tree, wanted }))),
        sized(message_id(), MAX_NOT_FOUND).prop_map(PlumtreeMessage::NotFound),
        holdings
            .prop_map(|(answer, ranges)| PlumtreeMessage::Holdings(Holdings { answer, ranges })),
    ]
    .boxed()
}

fn scamp() -> impl Strategy<Value = ScampMessage> {
    let node = (incarnation(), spec());
    let node = node.prop_map(|(incarnation, spec)| Introduction { incarnation, spec });
    (0..8u8, node, any::<u16>(), any::<bool>()).prop_map(|(which, node, hops, flag)| match which {
        0 => ScampMessage::Holds(flag),
        1 => ScampMessage::Subscribe { node, hops, renewed: flag },
        2 => ScampMessage::Subscribed,
        3 => ScampMessage::Forward { node, hops },
        4 => ScampMessage::Remove { node: node.spec.id(), upto: node.incarnation },
        5 => ScampMessage::Replace { by: node },
        6 => ScampMessage::Gone,
        _ => ScampMessage::Heartbeat,
    })
}

fn star() -> impl Strategy<Value = StarMessage> {
    // Only so many fit into a frame with the longest names.
    let piece = (vec(entry(), 0..4).prop_map(Bounded::from_first), any::<bool>());
    let piece = piece.prop_map(|(entries, last)| Box::new(StarPiece { entries, last }));
    prop_oneof![
        4 => (0..4u8, piece).prop_map(|(which, piece)| match which {
            0 => StarMessage::Attach(piece),
            1 => StarMessage::Servers(piece),
            2 => StarMessage::Refer(piece),
            _ => StarMessage::News(piece),
        }),
        1 => (sized(node_id(), MAX_SUMMARY), any::<bool>())
            .prop_map(|(nodes, attached)| StarMessage::Clients { nodes, attached }),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    let presence = (incarnation(), incarnation(), spec());
    let presence =
        presence.prop_map(|(incarnation, joined, spec)| Presence { incarnation, joined, spec });
    let news = (node_id(), incarnation(), option::of(presence));
    news.prop_map(|(node, removed, presence)| Entry { node, removed, presence })
}

fn goodbye() -> impl Strategy<Value = GoodbyeReason> {
    prop_oneof![
        Just(GoodbyeReason::Left),
        Just(GoodbyeReason::Removed),
        Just(GoodbyeReason::Stopping),
        Just(GoodbyeReason::Requested),
        Just(GoodbyeReason::NotWanted),
        Just(GoodbyeReason::OtherManager),
    ]
}

fn gossip() -> BoxedStrategy<Gossip> {
    let summary = (node_id(), any::<u64>(), incarnation(), incarnation());
    let summary = summary.prop_map(|(node, hash, removed, present)| SummaryEntry {
        node,
        hash,
        removed,
        present,
    });
    let summary = (node_id(), node_id(), sized(summary, MAX_SUMMARY));
    // Only so many fit into a frame with the longest names.
    let delta = vec(entry(), 0..4).prop_map(Bounded::from_first);
    prop_oneof![
        (any::<u32>(), any::<u64>())
            .prop_map(|(entries, hash)| Gossip::Digest(Digest { entries, hash })),
        summary.prop_map(|(first, last, entries)| Gossip::Summary(Summary {
            first,
            last,
            entries,
        })),
        sized(node_id(), MAX_SUMMARY).prop_map(|nodes| Gossip::Request(Request { nodes })),
        delta.prop_map(|entries| Gossip::Delta(Delta { entries })),
    ]
    .boxed()
}

/// A list: empty, short, or as long as can be.
fn sized<T: Clone + core::fmt::Debug, const N: usize>(
    item: impl Strategy<Value = T>,
    limit: usize,
) -> impl Strategy<Value = Bounded<T, N>> {
    let length = prop_oneof![Just(0), 1..20usize, Just(limit)];
    (vec(item, 20), length)
        .prop_map(|(items, length)| Bounded::from_first(items.iter().cycle().take(length).cloned()))
}
