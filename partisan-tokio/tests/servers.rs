//! Servers over real TCP: starting, asking, telling, stopping, and looking into them.

mod support;

use std::time::Duration;

use partisan_proto::behaviour::{
    CallResult, Caller, GenServer, Info, Init, Next, Protocol, ServerProcess, ServerRef, Status,
    TraceEvent,
};
use partisan_proto::process::ActorContext;
use partisan_proto::{Serial, Signal};
use partisan_tokio::{
    CallError, CallOptions, ExitReason, Failure, Input, Node, Process, ProcessId, ProcessName,
    RequestError, ServerHandle, ServerStartError, SpawnOptions, StartOptions, StopError,
};
use serde::{Deserialize, Serialize};
use support::{DEADLINE, pair, soon, start};
use tokio::sync::mpsc;

/// A bank: it keeps one sum, and does as it is told in its beginning and at its end.
#[derive(Debug, Default)]
struct Bank {
    sum: u64,
    begin: Begin,
    owed: Vec<Caller<u64>>,
    ended: Option<mpsc::UnboundedSender<ExitReason>>,
}

#[derive(Clone, Debug, Default)]
enum Begin {
    #[default]
    Well,
    Ignore,
    Stop,
    Panic,
}

#[derive(Debug, Serialize, Deserialize)]
enum Ask {
    Sum,
    /// Answered by the next [`Tell::Pay`].
    SumLater,
    HandOn(ProcessId),
    Stop(ExitReason),
    Panic,
}

#[derive(Debug, Serialize, Deserialize)]
enum Tell {
    Add(u64),
    Pay,
}

impl Protocol for Bank {
    type Call = Ask;
    type Reply = u64;
    type Cast = Tell;
}

impl GenServer for Bank {
    type Continue = ();

    fn init(&mut self, _: &mut ActorContext<'_>) -> Init<Self> {
        match self.begin {
            Begin::Well => Init::Run(Next::Wait),
            Begin::Ignore => Init::Ignore,
            Begin::Stop => Init::stop(why("no money")),
            Begin::Panic => panic!("robbed"),
        }
    }

    fn handle_call(
        &mut self,
        ask: Ask,
        from: Caller<u64>,
        cx: &mut ActorContext<'_>,
    ) -> CallResult<Self> {
        match ask {
            Ask::Sum => CallResult::reply(self.sum),
            Ask::SumLater => {
                self.owed.push(from);
                CallResult::later()
            }
            Ask::HandOn(other) => {
                cx.send(&other.into(), postcard::to_allocvec(&from).unwrap().into());
                CallResult::later()
            }
            Ask::Stop(reason) => CallResult::NoReply(Next::Stop(reason)),
            Ask::Panic => panic!("robbed"),
        }
    }

    fn handle_cast(&mut self, tell: Tell, cx: &mut ActorContext<'_>) -> Next<Self> {
        match tell {
            Tell::Add(more) => self.sum += more,
            Tell::Pay => self.owed.drain(..).for_each(|caller| caller.reply(cx, &self.sum)),
        }
        Next::Wait
    }

    fn handle_info(&mut self, info: Info, _: &mut ActorContext<'_>) -> Next<Self> {
        if let Info::Message { payload, .. } = info {
            self.sum += payload.len() as u64;
        }
        Next::Wait
    }

    fn terminate(&mut self, reason: &ExitReason, _: &mut ActorContext<'_>) {
        if let Some(ended) = &self.ended {
            let _ = ended.send(reason.clone());
        }
    }

    fn state(&self) -> Option<bytes::Bytes> {
        postcard::to_allocvec(&self.sum).ok().map(Into::into)
    }

    fn replace_state(&mut self, state: &[u8]) -> bool {
        postcard::from_bytes(state).map(|sum| self.sum = sum).is_ok()
    }
}

fn why(text: &str) -> ExitReason {
    ExitReason::other(text.as_bytes()).unwrap()
}

fn named(text: &str) -> ProcessName {
    ProcessName::new(text).unwrap()
}

fn failed(failure: Failure) -> RequestError {
    CallError::Failed(failure).into()
}

async fn bank(node: &Node) -> ServerHandle<Bank> {
    node.start_server(Bank::default()).await.unwrap()
}

async fn named_bank(node: &Node) -> Result<ServerHandle<Bank>, ServerStartError> {
    let options = StartOptions::default().name(named("bank"));
    node.start_behaviour(options, ServerProcess::new(Bank::default())).await
}

async fn beginning(node: &Node, begin: Begin) -> ServerStartError {
    node.start_server(Bank { begin, ..Bank::default() }).await.unwrap_err()
}

async fn me(node: &Node) -> Process {
    node.attach(SpawnOptions::default()).await.unwrap()
}

#[tokio::test]
async fn a_server_is_asked_and_told_by_identifier_and_by_name_from_either_node() {
    let (a, b) = pair().await;
    let here = named_bank(&a).await.unwrap();
    here.cast(&Tell::Add(1)).await;
    assert_eq!(here.call(&Ask::Sum).await, Ok(1));
    let by_identifier = b.server::<Bank>(here.reference().clone());
    by_identifier.cast(&Tell::Add(2)).await;
    assert_eq!(by_identifier.call(&Ask::Sum).await, Ok(3));
    let by_name = b.server::<Bank>((a.id(), named("bank")));
    by_name.cast(&Tell::Add(3)).await;
    assert_eq!(by_name.call(&Ask::Sum).await, Ok(6));
    let nobody = b.server::<Bank>((a.id(), named("nobody")));
    assert_eq!(nobody.call(&Ask::Sum).await, Err(failed(Failure::NoProcess)));
    // Never fails, and nobody hears of it.
    nobody.cast(&Tell::Add(1)).await;
}

#[tokio::test]
async fn whoever_starts_a_server_learns_what_came_of_it() {
    let node = start("a@127.0.0.1").await;
    let first = named_bank(&node).await.unwrap();
    let again = named_bank(&node).await.unwrap_err();
    assert_eq!(again, ServerStartError::AlreadyStarted(first.process().unwrap()));
    assert_eq!(beginning(&node, Begin::Ignore).await, ServerStartError::Ignored);
    assert_eq!(beginning(&node, Begin::Stop).await, ServerStartError::Init(why("no money")));
    let panicked = ExitReason::panicked("robbed");
    assert_eq!(beginning(&node, Begin::Panic).await, ServerStartError::Init(panicked));
    let options = StartOptions::default().timeout(Duration::ZERO).name(named("slow"));
    let slow = node.start_behaviour(options, ServerProcess::new(Bank::default())).await;
    assert_eq!(slow.unwrap_err(), ServerStartError::Timeout);
    assert_eq!(node.whereis("slow"), None);
    assert_eq!(node.processes().len(), 1, "nothing else is left running");
}

#[tokio::test]
async fn a_name_is_free_once_the_start_has_failed() {
    let node = start("a@127.0.0.1").await;
    for begin in [Begin::Ignore, Begin::Stop, Begin::Panic] {
        let bank = Bank { begin, ..Bank::default() };
        let options = StartOptions::default().name(named("bank"));
        node.start_behaviour(options, ServerProcess::new(bank)).await.unwrap_err();
    }
    named_bank(&node).await.unwrap();
}

#[tokio::test]
async fn stopping_waits_for_the_end_and_tells_how_it_came() {
    let (a, b) = pair().await;
    let there = b.server::<Bank>(bank(&a).await.reference().clone());
    assert_eq!(there.stop(ExitReason::Shutdown, DEADLINE).await, Ok(()));
    assert_eq!(there.stop(ExitReason::Shutdown, None).await, Err(StopError::NoProcess));
    let there = b.server::<Bank>(bank(&a).await.reference().clone());
    assert_eq!(there.stop(ExitReason::Normal, Duration::ZERO).await, Err(StopError::Timeout));
}

#[tokio::test]
async fn callers_learn_why_it_ended() {
    let (a, b) = pair().await;
    for (ask, reason) in [
        (Ask::Stop(ExitReason::Shutdown), ExitReason::Shutdown),
        (Ask::Panic, ExitReason::panicked("robbed")),
    ] {
        let here = bank(&a).await;
        let there = b.server::<Bank>(here.reference().clone());
        let waiting = there.send_request(&Ask::SumLater, DEADLINE).await.unwrap();
        // It has come, since this is behind it on the same lane.
        there.call(&Ask::Sum).await.unwrap();
        let exited = failed(Failure::Exited(reason));
        assert_eq!(here.call(&ask).await, Err(exited.clone()));
        assert_eq!(soon(waiting.answer()).await, Err(exited));
    }
}

#[tokio::test]
async fn an_answer_may_come_later_and_from_another_node() {
    let (a, b) = pair().await;
    let here = bank(&a).await;
    let later = here.send_request(&Ask::SumLater, DEADLINE).await.unwrap();
    here.call(&Ask::Sum).await.unwrap();
    here.cast(&Tell::Pay).await;
    assert_eq!(soon(later.answer()).await, Ok(0));
    let mut other = me(&b).await;
    let handed_on = here.send_request(&Ask::HandOn(other.id()), DEADLINE).await.unwrap();
    let caller = match soon(other.receive()).await {
        Some(Input::Message(message)) => message.decode::<Caller<u64>>().unwrap(),
        unexpected => panic!("{unexpected:?}"),
    };
    b.answer(caller, &7).await.unwrap();
    b.answer(caller, &8).await.unwrap();
    assert_eq!(soon(handed_on.answer()).await, Ok(7), "the first counts");
}

#[tokio::test]
async fn an_answer_that_is_late_is_never_taken_for_another() {
    let (a, b) = pair().await;
    let there = b.server::<Bank>(bank(&a).await.reference().clone());
    let mut request =
        there.send_request(&Ask::SumLater, CallOptions::default().no_timeout()).await.unwrap();
    assert!(request.wait(Duration::ZERO).await.is_none(), "waiting keeps the request");
    let timed_out = there.call_with(&Ask::SumLater, Duration::from_millis(1)).await;
    assert_eq!(timed_out, Err(CallError::Timeout.into()));
    there.cast(&Tell::Add(5)).await;
    there.cast(&Tell::Pay).await;
    assert_eq!(soon(request.answer()).await, Ok(5));
    assert_eq!(there.call(&Ask::Sum).await, Ok(5));
}

#[tokio::test]
async fn servers_of_one_name_are_asked_and_told_together() {
    let (a, b) = pair().await;
    named_bank(&a).await.unwrap();
    named_bank(&b).await.unwrap();
    let nowhere = partisan_proto::NodeId::from_u64(7);
    let all = a.servers::<Bank>([b.id(), nowhere, a.id()], named("bank"));
    all.cast(&Tell::Add(4)).await;
    let outcome = all.call(&Ask::Sum, DEADLINE).await;
    assert_eq!(outcome.replies, [(b.id(), 4), (a.id(), 4)]);
    assert_eq!(outcome.bad_nodes.len(), 1);
    assert_eq!(outcome.bad_nodes[0].0, nowhere);
}

#[tokio::test]
async fn a_server_ends_with_its_parent_and_its_node_after_its_terminate() {
    let node = start("a@127.0.0.1").await;
    let (tell, mut ended) = mpsc::unbounded_channel();
    let bank = || ServerProcess::new(Bank { ended: Some(tell.clone()), ..Bank::default() });
    let options = || StartOptions::default().trap_exit();
    let parent = me(&node).await;
    let id = parent.id();
    parent.start_link(options(), bank()).await.unwrap();
    node.exit(id, why("the parent's")).await.unwrap();
    assert_eq!(soon(ended.recv()).await, Some(why("the parent's")));
    node.start_behaviour(options(), bank()).await.unwrap();
    node.shutdown().await;
    assert_eq!(ended.recv().await, Some(ExitReason::Shutdown));
}

#[tokio::test]
async fn whoever_starts_one_may_watch_it_from_the_first_moment() {
    let node = start("a@127.0.0.1").await;
    let mut parent = me(&node).await;
    let process = ServerProcess::new(Bank::default());
    let (bank, number) = parent.start_monitor(StartOptions::default(), process).await.unwrap();
    bank.stop(why("enough"), None).await.unwrap();
    match soon(parent.receive()).await {
        Some(Input::Signal(Signal::Down { number: told, reason, .. })) => {
            assert_eq!((told, reason), (number, why("enough")));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_can_look_into_a_server_from_another_node() {
    let (a, b) = pair().await;
    let there = b.server::<Bank>(bank(&a).await.reference().clone());
    there.suspend().await.unwrap();
    there.cast(&Tell::Add(1)).await;
    assert!(there.status().await.unwrap().suspended);
    assert_eq!(there.state::<u64>().await, Ok(Some(0)));
    there.resume().await.unwrap();
    assert_eq!(there.call(&Ask::Sum).await, Ok(1));
    assert_eq!(there.replace_state(&41_u64).await, Ok(true));
    let mut tracer = me(&b).await;
    there.trace(Some(tracer.id())).await.unwrap();
    there.cast(&Tell::Add(1)).await;
    match soon(tracer.receive()).await {
        Some(Input::Message(message)) => {
            let event: TraceEvent = message.decode().unwrap();
            assert_eq!(event, TraceEvent::Cast("Add(1)".into()));
        }
        other => panic!("{other:?}"),
    }
    let Status { state, statistics, parent, .. } = there.status().await.unwrap();
    assert!(state.contains("sum: 42"), "{state}");
    assert_eq!((statistics.casts, statistics.calls), (2, 1));
    assert_eq!(parent.map(|parent| parent.serial), Some(Serial::NODE));
}

/// What the bank of another version speaks.
#[derive(Debug)]
struct OtherBank;

impl Protocol for OtherBank {
    type Call = String;
    type Reply = String;
    type Cast = String;
}

#[tokio::test]
async fn a_wrong_type_is_a_typed_error_on_either_side() {
    let (a, b) = pair().await;
    let here = bank(&a).await;
    let other = b.server::<OtherBank>(here.process().unwrap());
    let refused = other.call(&"what?".to_owned()).await;
    assert_eq!(refused, Err(failed(Failure::NotUnderstood)));
    // What it does not understand of a cast comes as a message.
    other.cast(&"x".repeat(100)).await;
    let there = b.server::<Bank>(here.process().unwrap());
    assert!(there.call(&Ask::Sum).await.unwrap() > 100);
    // An empty text is the first of the calls; the answer is a number that is no text.
    here.replace_state(&300_u64).await.unwrap();
    let answer = other.call(&String::new()).await;
    assert!(matches!(answer, Err(RequestError::Decode(_))), "{answer:?}");
}

#[tokio::test]
async fn a_server_has_a_channel_of_its_own() {
    let (a, b) = pair().await;
    let bulk = a.channel("bulk").unwrap();
    let options = StartOptions::default().channel(bulk);
    let here = a.start_behaviour(options, ServerProcess::new(Bank::default())).await.unwrap();
    let bytes = postcard::to_allocvec(here.reference()).unwrap();
    let travelled: ServerRef<Bank> = postcard::from_bytes(&bytes).unwrap();
    let there = b.server::<Bank>(travelled);
    assert_eq!(there.reference().lane().channel, bulk);
    there.cast(&Tell::Add(1)).await;
    assert_eq!(there.call(&Ask::Sum).await, Ok(1));
}
