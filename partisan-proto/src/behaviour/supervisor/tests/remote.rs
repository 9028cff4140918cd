//! Children on other nodes: their owner, and their host, each alone.

use super::*;
use crate::behaviour::testing::reports;
use crate::call::CallError;
use crate::id::{NodeId, ProcessName};
use crate::process::Serial;

/// What an owner wants done that concerns other nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wish {
    /// Who is asked, and what: the text of a function's argument, or the number of a host's child.
    Call(u64, NodeId, String),
    Watch(u64, ProcessId),
    Exit(ProcessId, ExitReason),
}

/// A supervisor of remote children; the test answers for the other nodes.
struct Distant {
    solo: Solo<SupervisorProcess>,
}

fn node(number: u64) -> NodeId {
    NodeId::from_u64(number)
}

/// A process of another node.
fn there(on: u64, serial: u64) -> ProcessId {
    let birth = crate::id::Incarnation(1);
    ProcessId { node: node(on), birth, serial: Serial(serial) }
}

fn host(on: u64) -> ServerRef<Supervisor> {
    ServerRef::named(node(on), ProcessName::new("host").unwrap())
}

fn function(on: u64) -> Place {
    let name = ProcessName::new("start").unwrap();
    Place::function(Server::Function(node(on), name), "begin".into())
}

impl Distant {
    fn begin(supervisor: Supervisor) -> Self {
        Self { solo: Solo::start(SupervisorProcess::new(supervisor)) }
    }

    fn wishes(&mut self) -> Vec<Wish> {
        self.solo.run();
        self.wishes_until_now()
    }

    fn wishes_until_now(&mut self) -> Vec<Wish> {
        let wish = |effect| match effect {
            Effect::Act(ProcessAct::Call { number, server, payload, .. }) => {
                let what = match server {
                    Server::Function(..) => String::from_utf8_lossy(&payload).into_owned(),
                    Server::Process(_) => match envelope::asked(&payload) {
                        envelope::Asked::Call(call) => {
                            format!("{:?}", envelope::read::<Ask>(call).unwrap())
                        }
                        other => panic!("{other:?}"),
                    },
                };
                Some(Wish::Call(number, server.node(), what))
            }
            Effect::Act(ProcessAct::Monitor {
                number, target: Target::Process(process), ..
            }) => Some(Wish::Watch(number, process)),
            Effect::Act(ProcessAct::Exit { target: Target::Process(process), reason }) => {
                Some(Wish::Exit(process, reason))
            }
            _ => None,
        };
        self.solo.take_effects().into_iter().filter_map(wish).collect()
    }

    /// The one call that it makes now.
    fn call(&mut self) -> (u64, NodeId, String) {
        match &self.wishes()[..] {
            [Wish::Call(number, node, what)] => (*number, *node, what.clone()),
            other => panic!("{other:?}"),
        }
    }

    fn answer(&mut self, number: u64, result: Result<bytes::Bytes, CallError>) {
        self.solo.signal(Signal::Answer { number, result });
    }

    /// The function that it calls now starts this process; says by which monitor that is watched.
    fn starts(&mut self, process: ProcessId) -> u64 {
        let (number, ..) = self.call();
        self.answer(number, Ok(envelope::write(&process).unwrap()));
        match &self.wishes()[..] {
            [Wish::Watch(monitor, watched)] if *watched == process => *monitor,
            other => panic!("{other:?}"),
        }
    }

    fn down(&mut self, number: u64, process: ProcessId, reason: ExitReason) {
        self.solo.signal(Signal::Down { number, target: process.into(), reason, tag: 0 });
    }

    fn children(&mut self) -> Vec<ChildInfo> {
        let ask = ServerRef::<Supervisor>::write_call(&Ask::WhichChildren).unwrap();
        let request = self.solo.request(ask);
        self.solo.run();
        let reply = self.solo.take_reply(request).unwrap().unwrap();
        match ServerRef::<Supervisor>::read_reply(&reply).unwrap() {
            Answer::Children(children) => children,
            other => panic!("{other:?}"),
        }
    }
}

fn remote(places: &'static [u64]) -> ChildSpec {
    ChildSpec::remote("r", move |_| places.iter().map(|on| function(*on)).collect())
}

fn over(children: impl IntoIterator<Item = ChildSpec>) -> Supervisor {
    let supervisor = Supervisor::new(Strategy::OneForOne).intensity(1, Duration::from_secs(5));
    children.into_iter().fold(supervisor, Supervisor::child)
}

#[test]
fn a_remote_child_is_started_by_a_call_and_watched() {
    let mut distant = Distant::begin(over([remote(&[2])]));
    let (number, on, what) = distant.call();
    assert_eq!((on, &*what), (node(2), "begin"));
    distant.answer(number, Ok(envelope::write(&there(2, 7)).unwrap()));
    assert!(matches!(distant.wishes()[..], [Wish::Watch(_, process)] if process == there(2, 7)));
    assert_eq!(distant.children()[0].process, Some(there(2, 7)));
}

#[test]
fn it_is_started_again_when_it_ends_and_when_its_connection_is_lost() {
    for reason in [boom(), ExitReason::NoConnection, ExitReason::NoProcess] {
        let mut distant = Distant::begin(over([remote(&[2])]));
        let monitor = distant.starts(there(2, 7));
        distant.down(monitor, there(2, 7), reason.clone());
        let monitor = distant.starts(there(2, 8));
        assert_eq!(distant.children()[0].process, Some(there(2, 8)));
        distant.down(monitor, there(2, 8), reason);
        distant.solo.run();
        assert_eq!(distant.solo.ended(), Some(&ExitReason::Shutdown), "each of them counts");
    }
}

#[test]
fn a_transient_one_that_ends_in_good_order_is_not_started_again() {
    let mut distant = Distant::begin(over([remote(&[2]).restart(Restart::Transient)]));
    let monitor = distant.starts(there(2, 7));
    distant.down(monitor, there(2, 7), ExitReason::Normal);
    assert_eq!(distant.wishes(), []);
    assert_eq!((distant.children()[0].process, distant.solo.ended()), (None, None));
}

#[test]
fn the_first_place_that_answers_starts_it() {
    let mut distant = Distant::begin(over([remote(&[2, 3, 4])]));
    let (number, ..) = distant.call();
    distant.answer(number, Err(CallError::NoConnection));
    let (number, on, _) = distant.call();
    assert_eq!(on, node(3));
    distant.answer(number, Ok(bytes::Bytes::from_static(b"no process")));
    assert_eq!(distant.wishes(), [], "what answers otherwise is no place to go on from");
    assert!(matches!(distant.solo.ended(), Some(ExitReason::ShutdownWith(_))));
    let mut distant = Distant::begin(over([remote(&[2, 3])]));
    for _ in 0..2 {
        let (number, ..) = distant.call();
        distant.answer(number, Err(CallError::Failed(Failure::NoFunction)));
    }
    distant.solo.run();
    let text = "the child `r` did not start: no place has started it: there is no such function; \
                register it there";
    assert_eq!(distant.solo.ended().cloned(), ExitReason::shutdown_with(text.as_bytes()));
}

#[test]
fn one_without_a_place_does_not_start() {
    let distant = Distant::begin(over([remote(&[])]));
    assert!(matches!(distant.solo.ended(), Some(ExitReason::ShutdownWith(_))));
}

#[test]
fn a_patient_supervisor_tries_again_and_again_and_does_not_count() {
    let every = Duration::from_secs(10);
    let mut distant = Distant::begin(over([remote(&[2]).lost(Lost::Retry(every))]));
    for _ in 0..5 {
        let (number, ..) = distant.call();
        distant.answer(number, Err(CallError::NoConnection));
        assert_eq!(distant.wishes(), [], "not before its time");
        assert!(distant.children()[0].restarting);
        distant.solo.advance(every);
    }
    let mut monitor = distant.starts(there(2, 7));
    for serial in 8..14 {
        distant.down(monitor, there(2, serial - 1), ExitReason::NoConnection);
        monitor = distant.starts(there(2, serial));
    }
    assert_eq!(distant.solo.ended(), None);
    // An end of another kind counts as ever.
    distant.down(monitor, there(2, 13), boom());
    let monitor = distant.starts(there(2, 14));
    distant.down(monitor, there(2, 14), boom());
    distant.solo.run();
    assert_eq!(distant.solo.ended(), Some(&ExitReason::Shutdown));
}

#[test]
fn a_remote_child_is_told_to_end_and_killed_when_its_time_is_over() {
    let after = Shutdown::After(Duration::from_secs(1));
    let mut distant = Distant::begin(over([remote(&[2]).shutdown(after)]));
    let monitor = distant.starts(there(2, 7));
    distant.solo.request(SystemRequest::Stop(ExitReason::Shutdown).write().unwrap());
    assert_eq!(distant.wishes(), [Wish::Exit(there(2, 7), ExitReason::Shutdown)]);
    distant.solo.advance(Duration::from_secs(1));
    assert_eq!(distant.wishes(), [Wish::Exit(there(2, 7), ExitReason::Kill)]);
    assert_eq!(distant.solo.ended(), None, "it waits for the news");
    distant.down(monitor, there(2, 7), ExitReason::Killed);
    distant.solo.run();
    assert_eq!(distant.solo.ended(), Some(&ExitReason::Shutdown));
}

#[test]
fn a_host_that_may_have_started_one_is_told_to_end_it() {
    let child = ChildSpec::remote("r", |_| vec![Place::host(host(2), "kind", "x"), function(3)]);
    for (error, uncertain) in [
        (CallError::NoConnection, true),
        (CallError::Timeout, true),
        (CallError::Failed(Failure::NoProcess), false),
    ] {
        let mut distant = Distant::begin(over([child.clone()]));
        let (number, on, what) = distant.call();
        assert_eq!((on, &*what), (node(2), "HostChild { number: 1, id: \"kind\", args: [120] }"));
        distant.answer(number, Err(error));
        let wishes = distant.wishes();
        let released = matches!(&wishes[0], Wish::Call(_, on, what)
            if *on == node(2) && what == "ReleaseChild { number: 1 }");
        assert_eq!(released, uncertain);
        assert!(matches!(wishes.last(), Some(Wish::Call(_, on, _)) if *on == node(3)));
    }
    let mut distant = Distant::begin(over([child]));
    distant.call();
    distant.solo.request(SystemRequest::Stop(ExitReason::Shutdown).write().unwrap());
    assert!(matches!(&distant.wishes()[..], [Wish::Call(_, on, _)] if *on == node(2)));
    assert_eq!(distant.solo.ended(), Some(&ExitReason::Shutdown), "it does not wait");
}

/// What an owner asks of a host: `number` is how the owner numbers the child.
fn hosted(number: u64, id: &str) -> Ask {
    Ask::HostChild { number, id: id.into(), args: vec![] }
}

fn hosting() -> Family {
    Family::new(
        Supervisor::new(Strategy::OneForOne)
            .dynamic(|id| ["a", "b"].contains(&id).then(|| kid(if id == "a" { "a" } else { "b" }))),
    )
}

#[test]
fn a_host_runs_one_child_for_each_number_of_an_owner() {
    let mut family = hosting();
    family.asks(hosted(1, "a"));
    family.asks(hosted(2, "b"));
    assert_eq!(family.log(), ["a starts", "b starts"]);
    family.asks(hosted(1, "a"));
    assert_eq!(family.log(), ["a ends", "a starts"], "the one before has ended first");
    assert_eq!(family.asks(Ask::ReleaseChild { number: 1 }), Answer::Done(Ok(())));
    let gone = Answer::Done(Err(ChildError::NotFound));
    assert_eq!(family.asks(Ask::ReleaseChild { number: 1 }), gone);
    assert_eq!(family.asks(hosted(3, "c")), Answer::Started(Err(ChildError::Unknown)));
    assert_eq!(family.living(), ["b"]);
}

#[test]
fn a_host_does_not_start_a_hosted_child_again() {
    let mut family = hosting();
    family.asks(hosted(1, "a"));
    family.log();
    family.dies("a", boom());
    family.settle();
    assert_eq!(
        (family.log(), family.asks(Ask::CountChildren)),
        (vec![], Answer::Count(ChildCount::default()))
    );
}

#[test]
fn a_host_ends_what_it_hosts_for_an_owner_that_is_gone() {
    let mut family = hosting();
    let request = family.ask(hosted(1, "a"));
    family.solo.run();
    let effects = family.solo.take_effects();
    let monitor = effects.iter().find_map(|effect| match effect {
        Effect::Act(ProcessAct::Monitor { number, target, .. }) => {
            assert_eq!(*target, family.solo.other().into());
            Some(*number)
        }
        _ => None,
    });
    let mut born = BTreeMap::new();
    effects.into_iter().for_each(|effect| family.perform(effect, &mut born));
    family.settle();
    assert!(matches!(family.reply(request), Some(Answer::Started(Ok(Some(_))))));
    family.asks(hosted(2, "b"));
    family.asks(Ask::StartChild { id: "a".into(), args: vec![] });
    family.log();
    let (number, target) = (monitor.unwrap(), family.solo.other().into());
    family.solo.signal(Signal::Down { number, target, reason: ExitReason::NoConnection, tag: 0 });
    family.settle();
    assert_eq!(family.log(), ["a ends", "b ends"]);
    assert_eq!(family.living(), ["a"], "that one is its own");
}

#[test]
fn a_hosted_child_begins_for_its_owner() {
    let mut family = hosting();
    family.ask(hosted(1, "a"));
    family.solo.run();
    let start = family.solo.take_effects().into_iter().find_map(|effect| match effect {
        Effect::Act(ProcessAct::Call { payload, .. }) => Some(payload),
        _ => None,
    });
    assert_eq!(start, SystemRequest::StartFor(family.solo.other()).write().ok());
}

#[test]
fn a_lost_child_is_reported_as_one_that_ended_badly() {
    let mut distant = Distant::begin(over([remote(&[2]).lost(Lost::Retry(Duration::ZERO))]));
    let monitor = distant.starts(there(2, 7));
    distant.down(monitor, there(2, 7), ExitReason::NoConnection);
    distant.solo.run();
    let reports = reports(&mut distant.solo);
    assert!(
        matches!(&reports[..], [Report::ChildEnded { reason: ExitReason::NoConnection, .. }]),
        "{reports:?}"
    );
}
