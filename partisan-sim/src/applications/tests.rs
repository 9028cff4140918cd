//! The rules of the servers, each by itself.

use std::sync::Arc;

use partisan_proto::behaviour::{GenServer, ServerProcess, ServerRef, StoreAnswer, StoreQuestion};
use partisan_proto::process::{Effect, ProcessId, ReplyTo, Solo};
use partisan_proto::{
    Broadcast, Channels, CloseReason, Duration, ExitReason, Incarnation, Instance, NodeId,
    NodeSpec, ProcessAct, Send, Serial, Signal, Target,
};

use super::actors::{Counter, SLOTS, Silo, SiloCall, SiloOptions, SiloReply, Task};
use super::chat::{ChatCall, ChatReply, Line, Room};
use super::kv::{Context, Dot, Kv, KvCall, KvCast, KvReply, Limits, Object, Refusal};
use super::router::{Event, Router, RouterCall, RouterCast, RouterRefusal, RouterReply};
use crate::world::node_name;

type Server<S> = Solo<ServerProcess<S>>;

fn start<S: GenServer>(server: S) -> Server<S> {
    Solo::start(ServerProcess::new(server))
}

fn request<S: GenServer>(server: &mut Server<S>, call: &S::Call) -> ReplyTo {
    let request = server.request(ServerRef::<S>::write_call(call).unwrap());
    server.run();
    request
}

fn reply<S: GenServer>(server: &mut Server<S>, request: ReplyTo) -> Option<S::Reply> {
    let reply = server.take_reply(request)?;
    Some(ServerRef::<S>::read_reply(&reply.unwrap()).unwrap())
}

/// Asks something that is answered at once.
fn ask<S: GenServer>(server: &mut Server<S>, call: &S::Call) -> S::Reply {
    let request = request(server, call);
    reply(server, request).expect("it is answered at once")
}

fn cast<S: GenServer>(server: &mut Server<S>, cast: &S::Cast) {
    server.message(ServerRef::<S>::write_cast(cast).unwrap());
    server.run();
}

fn signal<S: GenServer>(server: &mut Server<S>, signal: Signal) {
    server.signal(signal);
    server.run();
}

fn sends(effects: Vec<Effect>) -> Vec<Send> {
    let send = |effect| match effect {
        Effect::Send(send) => Some(send),
        _ => None,
    };
    effects.into_iter().filter_map(send).collect()
}

fn broadcasts(effects: Vec<Effect>) -> Vec<Broadcast> {
    let broadcast = |effect| match effect {
        Effect::Broadcast(broadcast) => Some(broadcast),
        _ => None,
    };
    effects.into_iter().filter_map(broadcast).collect()
}

/// The numbers of calls that it made.
fn calls(effects: &[Effect]) -> Vec<u64> {
    let call = |effect: &Effect| match effect {
        Effect::Act(ProcessAct::Call { number, .. }) => Some(*number),
        _ => None,
    };
    effects.iter().filter_map(call).collect()
}

fn answer<S: GenServer>(server: &mut Server<S>, number: u64, reply: &impl serde::Serialize) {
    let result = Ok(postcard::to_allocvec(reply).unwrap().into());
    signal(server, Signal::Answer { number, result });
}

/// A process of another node.
fn elsewhere(node: u64) -> ProcessId {
    ProcessId { node: NodeId::from_u64(node), birth: Incarnation(1), serial: Serial(1) }
}

fn instance(node: u64) -> Instance {
    Instance { node: NodeId::from_u64(node), incarnation: Incarnation(1) }
}

fn up(node: u64) -> Signal {
    let spec = NodeSpec::new(node_name(0), vec![], &Channels::default(), vec![]).unwrap();
    Signal::NodeUp { instance: instance(node), spec: Arc::new(spec) }
}

mod the_store {
    use super::*;

    fn put(value: &str, copies: u8) -> KvCall {
        let (key, value) = (b"k".to_vec(), Some(value.as_bytes().to_vec()));
        KvCall::Put { key, known: Context::default(), value, copies }
    }

    #[test]
    fn a_write_is_broadcast_and_merged_by_the_others() {
        let mut here = start(Kv::new(Limits::default()));
        let KvReply::Stored { dot, holders } = ask(&mut here, &put("v", 1)) else {
            panic!("it is stored");
        };
        assert_eq!((dot.writer, holders), (here.me(), vec![here.me()]));
        let told = broadcasts(here.take_effects()).remove(0);
        let mut there = start(Kv::new(Limits::default()));
        let (key, payload) = (told.key.to_vec(), told.payload.to_vec());
        let mut about = |question| ask(&mut there, &KvCall::Store(question));
        let stale = |key: &[u8]| StoreQuestion::IsStale { key: key.to_vec() };
        assert_eq!(about(stale(&key)), KvReply::Store(StoreAnswer::Missing));
        let merge = StoreQuestion::Merge { key: key.clone(), payload };
        assert_eq!(about(merge.clone()), KvReply::Store(StoreAnswer::New));
        assert_eq!(about(merge), KvReply::Store(StoreAnswer::Stale));
        assert_eq!(about(stale(&key)), KvReply::Store(StoreAnswer::Stale));
        let fetched = about(StoreQuestion::Fetch { key });
        assert!(matches!(fetched, KvReply::Store(StoreAnswer::Found(_))), "{fetched:?}");
        let spoilt = StoreQuestion::Merge { key: b"?".to_vec(), payload: b"?".to_vec() };
        assert_eq!(about(spoilt), KvReply::Store(StoreAnswer::Invalid));
    }

    #[test]
    fn a_write_waits_for_its_copies_and_not_for_ever() {
        let mut kv = start(Kv::new(Limits::default()));
        let first = request(&mut kv, &put("v", 3));
        let me = kv.me();
        let dot = Dot { writer: me, number: 1 };
        let held = |holder| KvCast::Held { key: b"k".to_vec(), dot, holder };
        for holder in [2, 2] {
            cast(&mut kv, &held(elsewhere(holder)));
            assert_eq!(reply(&mut kv, first), None, "two copies");
        }
        cast(&mut kv, &held(elsewhere(3)));
        let Some(KvReply::Stored { holders, .. }) = reply(&mut kv, first) else {
            panic!("three copies");
        };
        assert_eq!(holders, [me, elsewhere(2), elsewhere(3)]);
        let second = request(&mut kv, &put("w", 2));
        kv.advance(Duration::from_secs(4));
        let too_few = KvReply::Refused(Refusal::TooFewCopies { holders: vec![me] });
        assert_eq!(reply(&mut kv, second), Some(too_few));
    }

    #[test]
    fn a_comparison_ends_when_one_has_nothing_to_say_or_is_gone() {
        let mut kv = start(Kv::new(Limits::default()));
        let exchange = KvCall::Store(StoreQuestion::Exchange { peer: instance(2) });
        let asked = request(&mut kv, &exchange);
        let number = calls(&kv.take_effects())[0];
        let mut other = start(Kv::new(Limits::default()));
        ask(&mut other, &put("v", 1));
        let begin = super::super::kv::Replica::default().begin();
        let step = ask(&mut other, &KvCall::Step(begin));
        answer(&mut kv, number, &step);
        let number = calls(&kv.take_effects())[0];
        answer(&mut kv, number, &KvReply::Step(Default::default()));
        assert_eq!(reply(&mut kv, asked), Some(KvReply::Store(StoreAnswer::Done)));
        let asked = request(&mut kv, &exchange);
        let (number, result) = (calls(&kv.take_effects())[0], Err(no_connection()));
        signal(&mut kv, Signal::Answer { number, result });
        assert_eq!(reply(&mut kv, asked), Some(KvReply::Store(StoreAnswer::Failed)));
        assert_eq!(ask(&mut kv, &KvCall::Get(b"x".to_vec())), KvReply::Found(Object::default()));
    }
}

fn no_connection() -> partisan_proto::call::CallError {
    partisan_proto::call::CallError::NoConnection
}

mod the_router {
    use super::*;
    use partisan_proto::ChannelId;

    fn router() -> Server<Router> {
        start(Router::new(ChannelId::DEFAULT))
    }

    /// Node 2 wants a topic.
    fn wanted(router: &mut Server<Router>, changes: u64, topics: &[&str]) {
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        cast(router, &RouterCast::Topics(elsewhere(2), changes, topics));
    }

    fn publish(router: &mut Server<Router>, topic: &str) -> RouterReply {
        let RouterReply::Opened(session) = ask(router, &RouterCall::Open) else {
            panic!("there is room");
        };
        ask(router, &RouterCall::Publish(session, topic.to_owned(), b"x".to_vec()));
        router.take_effects();
        ask(router, &RouterCall::Publish(session, topic.to_owned(), b"y".to_vec()))
    }

    #[test]
    fn events_go_once_to_each_node_where_they_are_wanted_by_the_lane_of_their_session() {
        let mut router = router();
        signal(&mut router, up(2));
        wanted(&mut router, 1, &["a"]);
        assert_eq!(publish(&mut router, "a"), RouterReply::Published { number: 2, nodes: 1 });
        let first = sends(router.take_effects()).remove(0);
        assert_eq!((first.to, first.key.is_some()), (NodeId::from_u64(2), true));
        assert_eq!(publish(&mut router, "b"), RouterReply::Published { number: 2, nodes: 0 });
        publish(&mut router, "a");
        let other = sends(router.take_effects()).remove(0);
        assert_ne!(other.key, first.key, "sessions are spread");
        let reason = CloseReason::Broken;
        signal(&mut router, Signal::NodeDown { instance: instance(2), reason });
        assert_eq!(publish(&mut router, "a"), RouterReply::Published { number: 2, nodes: 0 });
    }

    #[test]
    fn a_change_that_was_missed_is_asked_for_and_an_old_one_ignored() {
        let mut router = router();
        signal(&mut router, up(2));
        wanted(&mut router, 2, &["a"]);
        wanted(&mut router, 1, &[]);
        assert_eq!(ask(&mut router, &RouterCall::Reach("a".into())), RouterReply::Reach(1));
        router.take_effects();
        cast(&mut router, &RouterCast::Changes(elsewhere(2), 2));
        assert_eq!(sends(router.take_effects()).len(), 0);
        cast(&mut router, &RouterCast::Changes(elsewhere(2), 3));
        assert_eq!(sends(router.take_effects()).len(), 1, "tell me");
    }

    #[test]
    fn subscribers_of_the_node_are_sent_events_until_they_end() {
        let mut router = router();
        let subscriber = router.other();
        let subscribe = RouterCall::Subscribe("a".into(), subscriber);
        assert_eq!(ask(&mut router, &subscribe), RouterReply::Done);
        assert_eq!(ask(&mut router, &subscribe), RouterReply::Done);
        let monitor = |effect: &Effect| match effect {
            Effect::Act(ProcessAct::Monitor { number, .. }) => Some(*number),
            _ => None,
        };
        let effects = router.take_effects();
        let monitors: Vec<u64> = effects.iter().filter_map(monitor).collect();
        publish(&mut router, "a");
        let sent = sends(router.take_effects());
        let event: Event = postcard::from_bytes(&sent[0].payload).unwrap();
        assert_eq!((sent.len(), event.number, event.payload), (1, 2, b"y".to_vec()));
        let [number] = monitors[..] else { panic!("{monitors:?}") };
        let (target, reason) = (Target::Process(subscriber), ExitReason::Normal);
        signal(&mut router, Signal::Down { number, target, reason, tag: 0 });
        publish(&mut router, "a");
        assert_eq!(sends(router.take_effects()).len(), 0);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut router = router();
        let mut refused = |call| match ask(&mut router, &call) {
            RouterReply::Refused(refusal) => refusal,
            other => panic!("{other:?}"),
        };
        let stranger = RouterCall::Subscribe("a".into(), elsewhere(9));
        assert_eq!(refused(stranger), RouterRefusal::NotHere);
        let long = RouterCall::Subscribe("a".repeat(256), elsewhere(9));
        assert_eq!(refused(long), RouterRefusal::TopicTooLong);
        let session = super::super::router::Session { router: elsewhere(9), number: 1 };
        let publish = RouterCall::Publish(session, "a".into(), vec![]);
        assert_eq!(refused(publish), RouterRefusal::NoSession);
    }
}

mod the_silo {
    use super::*;

    /// A silo of three voters, this node among them, that may vote by now.
    fn silo() -> Server<Silo<Counter>> {
        let voters = (1..=3).map(NodeId::from_u64).collect();
        let (lease, idle) = (Duration::from_secs(4), Duration::from_secs(60));
        let mut silo = start(Silo::new(SiloOptions { voters, lease, idle }));
        silo.advance(Duration::from_secs(5));
        silo.take_effects();
        silo
    }

    fn call() -> SiloCall {
        SiloCall::Ask("a".into(), vec![])
    }

    #[test]
    fn it_serves_with_more_than_half_of_the_votes() {
        let mut silo = silo();
        let asked = request(&mut silo, &call());
        let votes = calls(&silo.take_effects());
        assert_eq!(votes.len(), 2, "the third is its own");
        answer(&mut silo, votes[1], &SiloReply::Granted);
        let effects = silo.take_effects();
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Spawn { .. })), "{effects:?}");
        let task = Task::read(&sends(effects)[0].payload).unwrap();
        assert_eq!((task.id.as_str(), task.caller.reply_to()), ("a", asked));
        assert!(task.is_due(silo.now()));
        assert!(
            !task.is_due(silo.now() + Duration::from_secs(4)),
            "the lease counts from its wish"
        );
    }

    #[test]
    fn it_serves_nobody_with_less() {
        let mut silo = silo();
        let asked = request(&mut silo, &call());
        for number in calls(&silo.take_effects()) {
            signal(&mut silo, Signal::Answer { number, result: Err(no_connection()) });
        }
        assert_eq!(reply(&mut silo, asked), Some(SiloReply::Unavailable));
    }

    #[test]
    fn it_passes_on_what_another_serves() {
        let mut silo = silo();
        let asked = request(&mut silo, &call());
        for number in calls(&silo.take_effects()) {
            answer(&mut silo, number, &SiloReply::Denied(Some(elsewhere(3))));
        }
        let sent = sends(silo.take_effects());
        let to: Vec<_> = sent.iter().map(|send| send.to.as_u64()).collect();
        assert_eq!(to, [2, 3, 3], "both have their votes back, and one the request");
        assert!(sent[0].payload == sent[1].payload && sent[1].payload != sent[2].payload);
        assert_eq!(reply(&mut silo, asked), None, "the other answers");
        let mut free = |slot| ask(&mut silo, &SiloCall::Vote(slot, (elsewhere(2), 1)));
        assert!((0..SLOTS).all(|slot| free(slot) == SiloReply::Granted), "as is its own vote");
    }

    #[test]
    fn what_it_may_not_serve_any_more_ends() {
        let mut silo = silo();
        request(&mut silo, &call());
        let votes = calls(&silo.take_effects());
        answer(&mut silo, votes[0], &SiloReply::Granted);
        silo.take_effects();
        silo.advance(Duration::from_secs(5));
        let ends = |effect: &Effect| {
            matches!(effect, Effect::Act(ProcessAct::Exit { reason: ExitReason::Shutdown, .. }))
        };
        assert_eq!(silo.take_effects().iter().filter(|effect| ends(effect)).count(), 1);
    }
}

mod the_room {
    use super::*;

    fn merge(room: &mut Server<Room>, line: &Line) -> ChatReply {
        let (key, payload) = (vec![], postcard::to_allocvec(line).unwrap());
        ask(room, &ChatCall::Store(StoreQuestion::Merge { key, payload }))
    }

    fn line(writer: u64, number: u64, after: &Context, text: &str) -> Line {
        let dot = Dot { writer: elsewhere(writer), number };
        Line { dot, after: after.clone(), nick: "x".into(), text: text.into() }
    }

    fn shown(room: &mut Server<Room>) -> Vec<String> {
        let ChatReply::Lines(lines) = ask(room, &ChatCall::Read(0)) else {
            panic!("it is readable");
        };
        lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn a_line_waits_for_all_that_it_follows() {
        let mut room = start(Room::default());
        let question = line(2, 1, &Context::default(), "question");
        let mut after = Context::default();
        after.add(question.dot);
        let answer = line(3, 1, &after, "answer");
        after.add(answer.dot);
        let second = line(3, 2, &after, "and another");
        for late in [&second, &answer] {
            assert_eq!(merge(&mut room, late), ChatReply::Store(StoreAnswer::New));
            assert_eq!(shown(&mut room), [""; 0]);
        }
        assert_eq!(merge(&mut room, &answer), ChatReply::Store(StoreAnswer::Stale));
        merge(&mut room, &question);
        assert_eq!(shown(&mut room), ["question", "answer", "and another"]);
    }

    #[test]
    fn what_is_said_is_shown_and_broadcast_and_sent_to_members() {
        let mut room = start(Room::default());
        let member = room.other();
        assert_eq!(ask(&mut room, &ChatCall::Enter(elsewhere(9))), ChatReply::Refused);
        assert_eq!(ask(&mut room, &ChatCall::Enter(member)), ChatReply::Lines(vec![]));
        room.take_effects();
        let long = ChatCall::Say("x".into(), "y".repeat(2_000));
        assert_eq!(ask(&mut room, &long), ChatReply::Refused);
        let said = ask(&mut room, &ChatCall::Say("x".into(), "hello".into()));
        assert_eq!(said, ChatReply::Said(Dot { writer: room.me(), number: 1 }));
        let effects = room.take_effects();
        let told = effects.iter().filter(|e| matches!(e, Effect::Broadcast(_))).count();
        assert_eq!((told, sends(effects).len(), shown(&mut room).len()), (1, 1, 1));
    }

    #[test]
    fn copies_tell_each_other_what_the_other_lacks() {
        let (mut here, mut there) = (start(Room::default()), start(Room::default()));
        ask(&mut here, &ChatCall::Say("x".into(), "hello".into()));
        let exchange = ChatCall::Store(StoreQuestion::Exchange { peer: instance(2) });
        let asked = request(&mut here, &exchange);
        let number = calls(&here.take_effects())[0];
        let differs = ask(&mut there, &ChatCall::Compare(Context::default()));
        answer(&mut here, number, &differs);
        let effects = here.take_effects();
        let number = calls(&effects)[0];
        answer(&mut here, number, &ChatReply::Done);
        assert_eq!(reply(&mut here, asked), Some(ChatReply::Store(StoreAnswer::Done)));
    }
}
