//! Supervised children on other nodes, over real TCP.

mod support;

use std::time::Duration;

use partisan_proto::behaviour::supervisor::{Answer, Ask, ChildInfo, Lost, Place, Strategy};
use partisan_proto::behaviour::{
    CallResult, Caller, ChildSpec, GenServer, Next, Protocol, ServerProcess, Supervisor,
    SupervisorProcess,
};
use partisan_proto::process::ActorContext;
use partisan_tokio::behaviour::spawn_place;
use partisan_tokio::{
    ExitReason, Node, Process, ProcessId, ProcessName, ServerHandle, ServerRef, SpawnOptions,
    StartOptions,
};
use support::{DEADLINE, contact, eventually, pair, settings, soon};
use tokio::sync::mpsc;

/// Says whose it is, and tells of its end.
#[derive(Debug)]
struct Counter(u64, mpsc::UnboundedSender<ExitReason>);

impl Protocol for Counter {
    type Call = ();
    type Reply = u64;
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
        CallResult::reply(self.0)
    }

    fn handle_cast(&mut self, more: u64, _: &mut ActorContext<'_>) -> Next<Self> {
        self.0 += more;
        Next::Wait
    }

    fn terminate(&mut self, reason: &ExitReason, _: &mut ActorContext<'_>) {
        let _ = self.1.send(reason.clone());
    }
}

fn named(text: &str) -> ProcessName {
    ProcessName::new(text).unwrap()
}

/// A host that knows how to make counters which begin with what they are given.
async fn host(node: &Node) -> mpsc::UnboundedReceiver<ExitReason> {
    let (ended, ends) = mpsc::unbounded_channel();
    let counter = ChildSpec::with_args("counter", move |args| {
        ServerProcess::new(Counter(args.len() as u64, ended.clone()))
    });
    let supervisor = Supervisor::new(Strategy::SimpleOneForOne)
        .child(counter.name(named("counter")).trap_exit());
    let options = StartOptions::default().trap_exit().name(named("host"));
    node.start_behaviour(options, SupervisorProcess::new(supervisor)).await.unwrap();
    ends
}

/// A supervisor of one counter on `there`.
async fn owner(here: &Node, there: &Node) -> ServerHandle<Supervisor> {
    let host = ServerRef::<Supervisor>::named(there.id(), named("host"));
    let places = move |_: &[u8]| vec![Place::host(host.clone(), "counter", "abc")];
    let child = ChildSpec::remote("far", places).lost(Lost::Retry(Duration::from_millis(20)));
    let supervisor = Supervisor::new(Strategy::OneForOne).intensity(1, DEADLINE);
    here.start_supervisor(supervisor.child(child)).await.unwrap()
}

async fn child(owner: &ServerHandle<Supervisor>) -> ChildInfo {
    match owner.call(&Ask::WhichChildren).await.unwrap() {
        Answer::Children(mut children) => children.remove(0),
        other => panic!("{other:?}"),
    }
}

/// Waits until another process is the child.
async fn another(owner: &ServerHandle<Supervisor>, before: ProcessId) -> ProcessId {
    soon(async {
        loop {
            match child(owner).await.process {
                Some(process) if process != before => return process,
                _ => tokio::task::yield_now().await,
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_child_on_another_node_is_started_again_and_ends_with_its_supervisor() {
    let (a, b) = pair().await;
    let mut ends = host(&b).await;
    let owner = owner(&a, &b).await;
    let first = child(&owner).await.process.unwrap();
    assert_eq!((first.node, b.whereis("counter")), (b.id(), Some(first)));
    let counter = a.server::<Counter>(first);
    counter.cast(&4).await;
    assert_eq!(counter.call(&()).await, Ok(7));
    b.exit(first, ExitReason::Kill).await.unwrap();
    let second = another(&owner, first).await;
    assert_eq!(a.server::<Counter>(second).call(&()).await, Ok(3), "it begins anew");
    owner.stop(ExitReason::Shutdown, DEADLINE).await.unwrap();
    assert_eq!(soon(ends.recv()).await, Some(ExitReason::Shutdown), "by its last words");
    assert_eq!(b.whereis("counter"), None);
}

#[tokio::test]
async fn a_child_is_awaited_while_its_node_is_away_and_never_runs_twice() {
    let (a, b) = pair().await;
    host(&b).await;
    let owner = owner(&a, &b).await;
    let first = child(&owner).await.process.unwrap();
    let address = b.spec().addresses()[0].clone();
    b.shutdown().await;
    soon(async { while child(&owner).await.process.is_some() {} }).await;
    // The intensity is one; it is tried far more often.
    let again = Node::start(settings("b@127.0.0.1").listen([address])).await.unwrap();
    again.sync_join(contact(&a), DEADLINE).await.unwrap();
    host(&again).await;
    let second = another(&owner, first).await;
    assert_eq!(again.whereis("counter"), Some(second));
}

#[tokio::test]
async fn an_owner_that_is_not_seen_any_more_has_nothing_running() {
    let (a, b) = pair().await;
    let mut ends = host(&b).await;
    owner(&a, &b).await;
    assert!(b.whereis("counter").is_some());
    a.shutdown().await;
    soon(ends.recv()).await.unwrap();
    eventually(|| b.whereis("counter").is_none()).await;
}

#[tokio::test]
async fn a_child_may_be_what_another_node_lets_be_spawned() {
    let (a, b) = pair().await;
    let waits =
        |mut process: Process, (): ()| async move { while process.receive().await.is_some() {} };
    b.register_spawnable("waits", waits).unwrap();
    let at = b.id();
    let options = || SpawnOptions::default().name(named("waits"));
    let places = move |_: &[u8]| vec![spawn_place(at, "waits", &(), options()).unwrap()];
    let supervisor = Supervisor::new(Strategy::OneForOne).child(ChildSpec::remote("far", places));
    let owner = a.start_supervisor(supervisor).await.unwrap();
    let first = child(&owner).await.process.unwrap();
    assert_eq!(b.whereis("waits"), Some(first));
    a.exit(first, ExitReason::Kill).await.unwrap();
    let second = another(&owner, first).await;
    assert_eq!(b.whereis("waits"), Some(second));
    owner.stop(ExitReason::Shutdown, DEADLINE).await.unwrap();
    eventually(|| b.whereis("waits").is_none()).await;
}
