//! State machines, supervisors and event managers over real TCP.

mod support;

use std::time::Duration;

use partisan_proto::Serial;
use partisan_proto::behaviour::gen_event::{
    self, Bus, EventManager, Handled, Handler, HandlerExit,
};
use partisan_proto::behaviour::supervisor::{self, Child, ChildInfo, Strategy};
use partisan_proto::behaviour::{
    CallResult, Caller, ChildSpec, Event, GenServer, GenStatem, Initial, Next, Protocol,
    ServerProcess, Supervisor, SupervisorProcess, Timeout, Transition,
};
use partisan_proto::process::ActorContext;
use partisan_tokio::{
    ExitReason, Input, Node, Process, ProcessId, ProcessName, ServerHandle, ServerRef,
    ServerStartError, SpawnOptions,
};
use serde::{Deserialize, Serialize};
use support::{DEADLINE, eventually, pair, soon, start};
use tokio::sync::mpsc;

fn named(text: &str) -> ProcessName {
    ProcessName::new(text).unwrap()
}

/// Keeps a count, and tells what it was at its end.
#[derive(Debug)]
struct Counter {
    id: &'static str,
    count: u64,
    ended: mpsc::UnboundedSender<(&'static str, ExitReason)>,
}

impl Protocol for Counter {
    type Call = ();
    type Reply = u64;
    /// Zero is too much for it.
    type Cast = u64;
}

impl GenServer for Counter {
    type Continue = ();

    fn handle_call(
        &mut self,
        (): (),
        _: Caller<u64>,
        _: &mut ActorContext<'_>,
    ) -> CallResult<Self> {
        CallResult::reply(self.count)
    }

    fn handle_cast(&mut self, more: u64, _: &mut ActorContext<'_>) -> Next<Self> {
        assert!(more > 0, "nothing is too much");
        self.count += more;
        Next::Wait
    }

    fn terminate(&mut self, reason: &ExitReason, _: &mut ActorContext<'_>) {
        let _ = self.ended.send((self.id, reason.clone()));
    }
}

type Ends = mpsc::UnboundedReceiver<(&'static str, ExitReason)>;

fn counters(strategy: Strategy) -> (Supervisor, Ends) {
    let (ended, ends) = mpsc::unbounded_channel();
    let counter = move |id: &'static str| {
        let ended = ended.clone();
        let make = move || ServerProcess::new(Counter { id, count: 0, ended: ended.clone() });
        ChildSpec::new(id, make).name(named(id)).trap_exit()
    };
    let supervisor = Supervisor::new(strategy).intensity(3, Duration::from_secs(60));
    let dynamic = counter.clone();
    let supervisor = supervisor.dynamic(move |id| (id == "more").then(|| dynamic("more")));
    (supervisor.child(counter("first")).child(counter("second")), ends)
}

async fn children(supervisor: &ServerHandle<Supervisor>) -> Vec<ChildInfo> {
    match supervisor.call(&supervisor::Ask::WhichChildren).await.unwrap() {
        supervisor::Answer::Children(children) => children,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_supervised_server_that_panics_is_there_again_under_its_name() {
    let (a, b) = pair().await;
    let (supervisor, mut ends) = counters(Strategy::OneForOne);
    let supervisor = a.start_supervisor(supervisor).await.unwrap();
    let first = b.server::<Counter>((a.id(), named("first")));
    let second = b.server::<Counter>((a.id(), named("second")));
    second.cast(&7).await;
    first.cast(&1).await;
    assert_eq!(first.call(&()).await, Ok(1));
    let before = a.whereis("first");
    first.cast(&0).await;
    let (id, reason) = soon(ends.recv()).await.unwrap();
    assert_eq!((id, reason), ("first", ExitReason::panicked("nothing is too much")));
    eventually(|| a.whereis("first").is_some_and(|now| Some(now) != before)).await;
    // It has begun when the supervisor says that it runs.
    while children(&supervisor).await[0].process != a.whereis("first") {}
    assert_eq!(first.call(&()).await, Ok(0));
    assert_eq!(second.call(&()).await, Ok(7), "the other goes on");
}

#[tokio::test]
async fn a_child_whose_name_is_taken_says_which_name_and_by_whom() {
    let (a, _) = pair().await;
    let (supervisor, _ends) = counters(Strategy::OneForOne);
    let (second, _more) = counters(Strategy::OneForOne);
    let supervisor = a.start_supervisor(supervisor).await.unwrap();
    let holder = children(&supervisor).await[0].process.unwrap();
    let text = |error: ServerStartError| match error {
        ServerStartError::Init(reason) => reason.to_string(),
        other => panic!("{other:?}"),
    };
    let said = text(a.start_supervisor(second).await.unwrap_err());
    let taken = supervisor::ChildError::NameTaken { name: named("first"), holder };
    assert_eq!(said, format!("shutdown: the child `first` did not start: {taken}"));
    // A mailbox has names, too.
    let _mailbox = a.register("more").unwrap();
    let more = supervisor::Ask::StartChild { id: "more".into(), args: vec![] };
    let node = ProcessId { serial: Serial::NODE, ..holder };
    let taken = supervisor::ChildError::NameTaken { name: named("more"), holder: node };
    let told = supervisor.call(&more).await.unwrap();
    assert_eq!(told, supervisor::Answer::Started(Err(taken)));
}

#[tokio::test]
async fn the_end_of_a_node_ends_its_children_in_the_reverse_order() {
    let node = start("a@127.0.0.1").await;
    let (supervisor, mut ends) = counters(Strategy::OneForOne);
    let supervisor = node.start_supervisor(supervisor).await.unwrap();
    supervisor.stop(ExitReason::Shutdown, DEADLINE).await.unwrap();
    assert_eq!(soon(ends.recv()).await, Some(("second", ExitReason::Shutdown)));
    assert_eq!(soon(ends.recv()).await, Some(("first", ExitReason::Shutdown)));
    assert_eq!(node.processes(), []);
}

#[tokio::test]
async fn children_are_added_and_ended_from_another_node() {
    let (a, b) = pair().await;
    let (supervisor, mut ends) = counters(Strategy::OneForAll);
    let here = a.start_supervisor(supervisor).await.unwrap();
    let there = b.server::<Supervisor>(here.reference().clone());
    let ask = supervisor::Ask::StartChild { id: "more".into(), args: vec![] };
    let answer = there.call(&ask).await.unwrap();
    let more = a.whereis("more");
    assert_eq!(answer, supervisor::Answer::Started(Ok(more)));
    let ask = supervisor::Ask::TerminateChild(Child::Process(more.unwrap()));
    assert_eq!(there.call(&ask).await, Ok(supervisor::Answer::Done(Ok(()))));
    assert_eq!(soon(ends.recv()).await, Some(("more", ExitReason::Shutdown)));
    assert_eq!(children(&there).await.len(), 3);
}

#[tokio::test]
async fn supervisors_supervise_supervisors() {
    let node = start("a@127.0.0.1").await;
    let (inner, mut ends) = counters(Strategy::OneForOne);
    let inner = ChildSpec::new("inner", move || SupervisorProcess::new(inner.clone()));
    let outer = Supervisor::new(Strategy::OneForOne).child(inner.supervisor());
    let outer = node.start_supervisor(outer).await.unwrap();
    let inner = children(&outer).await[0].process.unwrap();
    let first = node.whereis("first").unwrap();
    node.exit(inner, ExitReason::Kill).await.unwrap();
    // The children of one that is killed end by their links.
    let mut ended = [soon(ends.recv()).await.unwrap(), soon(ends.recv()).await.unwrap()];
    ended.sort();
    assert_eq!(ended, [("first", ExitReason::Killed), ("second", ExitReason::Killed)]);
    eventually(|| node.whereis("second").is_some() && node.whereis("first") != Some(first)).await;
    outer.stop(ExitReason::Normal, DEADLINE).await.unwrap();
    assert_eq!(node.processes(), []);
}

#[tokio::test]
async fn a_supervisor_whose_child_does_not_start_does_not_start() {
    let node = start("a@127.0.0.1").await;
    let (one, _ends) = counters(Strategy::OneForOne);
    let (other, _other_ends) = counters(Strategy::OneForOne);
    let running = node.start_supervisor(one).await.unwrap();
    let refused = node.start_supervisor(other).await.unwrap_err();
    assert!(matches!(refused, ServerStartError::Init(ExitReason::ShutdownWith(_))), "{refused}");
    assert_eq!(children(&running).await.len(), 2);
}

/// A door that closes by itself.
#[derive(Debug)]
struct Door;

#[derive(Debug, PartialEq)]
enum State {
    Locked,
    Open,
}

#[derive(Debug, Serialize, Deserialize)]
enum Ask {
    /// Answered once it is open.
    Enter,
    IsOpen,
}

impl Protocol for Door {
    type Call = Ask;
    type Reply = bool;
    /// For how many milliseconds it is opened.
    type Cast = u64;
}

impl GenStatem for Door {
    type State = State;
    type Content = ();
    type Timer = ();

    fn init(&mut self, _: &mut ActorContext<'_>) -> Initial<Self> {
        Initial::state(State::Locked)
    }

    fn handle_event(
        &mut self,
        state: &State,
        event: &Event<Self>,
        _: &mut ActorContext<'_>,
    ) -> Transition<Self> {
        match (state, event) {
            (_, Event::Call(caller, Ask::IsOpen)) => {
                Transition::keep().reply(*caller, *state == State::Open)
            }
            (State::Locked, Event::Call(..)) => Transition::keep().postpone(),
            (State::Open, Event::Call(caller, Ask::Enter)) => {
                Transition::keep().reply(*caller, true)
            }
            (_, Event::Cast(millis)) => {
                let after = Duration::from_millis(*millis);
                Transition::next(State::Open).timeout(Timeout::State, after, ())
            }
            (_, Event::Timeout(Timeout::State, ())) => Transition::next(State::Locked),
            _ => Transition::keep(),
        }
    }
}

#[tokio::test]
async fn a_state_machine_puts_off_what_it_is_asked_and_keeps_its_time() {
    let (a, b) = pair().await;
    let here = a.start_statem(Door).await.unwrap();
    let there = b.server::<Door>(here.reference().clone());
    let entering = there.send_request(&Ask::Enter, DEADLINE).await.unwrap();
    assert_eq!(there.call(&Ask::IsOpen).await, Ok(false));
    there.cast(&30).await;
    assert_eq!(soon(entering.answer()).await, Ok(true));
    soon(async { while there.call(&Ask::IsOpen).await.unwrap() {} }).await;
    let status = there.status().await.unwrap();
    assert!(status.state.contains("state: Some(Locked)"), "{}", status.state);
}

/// What goes through the manager of news.
#[derive(Debug)]
struct News;

impl Bus for News {
    type Event = String;
    type Query = ();
    type Answer = Vec<String>;
}

/// Remembers what it hears; bad news are too much for it.
#[derive(Debug, Default)]
struct Memory(Vec<String>);

impl Handler<News> for Memory {
    fn handle_event(&mut self, event: &String, _: &mut ActorContext<'_>) -> Handled {
        assert!(event != "bad", "too much");
        self.0.push(event.clone());
        Handled::Keep
    }

    fn handle_call(&mut self, (): (), _: &mut ActorContext<'_>) -> (Vec<String>, Handled) {
        (self.0.clone(), Handled::Keep)
    }
}

fn news() -> EventManager<News> {
    EventManager::new().kind("memory", |_, _| Ok(Memory::default()))
}

async fn me(node: &Node) -> Process {
    node.attach(SpawnOptions::default()).await.unwrap()
}

/// Has a process add a handler that it owns.
async fn adds(process: &Process, manager: &ServerHandle<EventManager<News>>, instance: &str) {
    let handler = handler(instance);
    let ask = gen_event::Ask::Add { handler, args: vec![], supervised: true };
    let ask = ServerRef::<EventManager<News>>::write_call(&ask).unwrap();
    let target = manager.reference().target().clone();
    let answer = process.call_bytes(target, ask, DEADLINE).await.unwrap();
    let answer = ServerRef::<EventManager<News>>::read_reply(&answer).unwrap();
    assert_eq!(answer, gen_event::Answer::Done(Ok(())));
}

fn handler(instance: &str) -> gen_event::HandlerId {
    gen_event::HandlerId { kind: "memory".into(), instance: Some(instance.into()) }
}

#[tokio::test]
async fn events_are_told_from_another_node_and_handlers_live_as_long_as_their_owners() {
    let (a, b) = pair().await;
    let here = a.start_event_manager(news()).await.unwrap();
    let there = b.server::<EventManager<News>>(here.reference().clone());
    let (first, mut second) = (me(&a).await, me(&b).await);
    adds(&first, &here, "first").await;
    adds(&second, &here, "second").await;
    there.cast(&"good".to_owned()).await;
    let query = gen_event::Ask::Query(handler("second"), ());
    let heard = gen_event::Answer::Answered(Ok(vec!["good".to_owned()]));
    assert_eq!(there.call(&query).await, Ok(heard));
    drop(first);
    let which = gen_event::Ask::Which;
    let left = gen_event::Answer::Handlers(vec![handler("second")]);
    soon(async { while here.call(&which).await.unwrap() != left {} }).await;
    there.call(&gen_event::Ask::Notify("bad".to_owned())).await.unwrap();
    match soon(second.receive()).await {
        Some(Input::Message(message)) => {
            let exit: HandlerExit = message.decode().unwrap();
            assert_eq!(exit.handler, handler("second"));
            let crashed = gen_event::Leaving::Crashed(ExitReason::panicked("too much"));
            assert_eq!(exit.why, crashed);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(here.call(&which).await, Ok(gen_event::Answer::Handlers(vec![])));
}
