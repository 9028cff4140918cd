//! What behaviours report, as the log and the counters have it.

mod support;

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use partisan_proto::behaviour::supervisor::{Restart, Strategy};
use partisan_proto::behaviour::{
    CallResult, Caller, ChildSpec, GenServer, Next, Protocol, ServerProcess, Supervisor,
};
use partisan_proto::process::ActorContext;
use partisan_tokio::{ExitReason, ProcessName, ServerHandle};
use support::{eventually, start};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// An event of the log: its level, and its fields in their order.
type Line = (Level, Vec<(&'static str, String)>);

/// Writes down what is reported.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Line>>>);

impl Log {
    /// What was reported, in short: the level, which report, about whom, and why.
    fn lines(&self) -> Vec<String> {
        let line = |(level, fields): &Line| {
            let field = |name| fields.iter().find(|(field, _)| *field == name);
            let value = |name| field(name).map_or("-", |(_, value)| value);
            format!("{level} {} {} {}", value("report"), value("about"), value("reason"))
        };
        self.0.lock().unwrap().iter().map(line).collect()
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "partisan::reports"
    }

    fn event(&self, event: &Event<'_>) {
        struct Fields(Vec<(&'static str, String)>);
        impl Visit for Fields {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                self.0.push((field.name(), format!("{value:?}")));
            }

            fn record_str(&mut self, field: &Field, value: &str) {
                self.0.push((field.name(), value.into()));
            }
        }
        let mut fields = Fields(Vec::new());
        event.record(&mut fields);
        self.0.lock().unwrap().push((*event.metadata().level(), fields.0));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Ends as it is told.
#[derive(Debug)]
struct Mortal;

impl Protocol for Mortal {
    type Call = ();
    type Reply = ();
    type Cast = ExitReason;
}

impl GenServer for Mortal {
    type Continue = ();

    fn handle_call(&mut self, (): (), _: Caller<()>, _: &mut ActorContext<'_>) -> CallResult<Self> {
        CallResult::reply(())
    }

    fn handle_cast(&mut self, reason: ExitReason, _: &mut ActorContext<'_>) -> Next<Self> {
        Next::Stop(reason)
    }
}

#[tokio::test]
async fn reports_are_logged_at_their_levels_and_counted() {
    let log = Log::default();
    // All of the test runs on this thread.
    let _guard = tracing::subscriber::set_default(log.clone());
    let node = start("alice").await;
    let name = ProcessName::new("mortal").unwrap();
    let child = ChildSpec::new("m", || ServerProcess::new(Mortal)).name(name.clone());
    let supervisor = Supervisor::new(Strategy::OneForOne).child(child.restart(Restart::Transient));
    let tree = node.start_supervisor(supervisor).await.unwrap();
    let mortal: ServerHandle<Mortal> = node.server((node.id(), name.clone()));
    let first = node.whereis(name.as_str());
    mortal.cast(&ExitReason::other(b"boom").unwrap()).await;
    eventually(|| {
        let now = node.whereis(name.as_str());
        now.is_some() && now != first
    })
    .await;
    node.cast(node.whereis(name.as_str()).unwrap(), "what is this?").await;
    mortal.call(&()).await.unwrap();
    mortal.cast(&ExitReason::Shutdown).await;
    eventually(|| node.whereis(name.as_str()).is_none()).await;
    tree.stop(ExitReason::Shutdown, None).await.unwrap();
    let expected = [
        "INFO child_started m -",
        "ERROR terminating - boom",
        "ERROR child_ended m boom",
        "INFO child_started m -",
        "WARN unexpected - -",
    ];
    assert_eq!(log.lines(), expected);
    let counters = node.counters();
    assert_eq!((counters.reported_errors, counters.reported_warnings), (2, 1));
    node.shutdown().await;
}
