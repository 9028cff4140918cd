//! The traces of `gen_server`: what comes in by a machine alone, what callers see on a real node.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use partisan_proto::behaviour::{
    CallResult, Caller, GenServer, Info, Init, Next, Protocol, ServerProcess, ServerRef,
};
use partisan_proto::call::{CallError, Failure};
use partisan_proto::process::{ActorContext, Solo};
use partisan_proto::{ExitReason, ProcessName, Target};
use partisan_tokio::{
    CallOptions, Node, NodeName, RequestError, ServerHandle, ServerStartError, Settings,
    StartOptions, StopError,
};
use serde::{Deserialize, Serialize};

use super::term::Term;
use super::{Golden, golden, part};

/// Writes down what happens, and does what it is told.
#[derive(Debug, Default)]
struct Recorded {
    log: Arc<Mutex<Vec<String>>>,
    ignores: bool,
    owed: Option<Caller<String>>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Do {
    Nothing,
    /// The answer comes with the next cast, which is it.
    AnswerLater,
    Reply(String),
    Timeout(u64),
    Continue(String),
    Stop(ExitReason),
}

impl Protocol for Recorded {
    type Call = (String, Do);
    type Reply = String;
    type Cast = (String, Do);
}

impl Recorded {
    fn next(&mut self, what: Do) -> Next<Self> {
        match what {
            Do::Timeout(after) => Next::Timeout(Duration::from_millis(after)),
            Do::Continue(label) => Next::Continue(label),
            Do::Stop(reason) => Next::Stop(reason),
            Do::Nothing | Do::AnswerLater | Do::Reply(_) => Next::Wait,
        }
    }

    fn write(&self, line: String) {
        self.log.lock().unwrap().push(line);
    }
}

impl GenServer for Recorded {
    type Continue = String;

    fn init(&mut self, _: &mut ActorContext<'_>) -> Init<Self> {
        if self.ignores { Init::Ignore } else { Init::Run(Next::Wait) }
    }

    fn handle_call(
        &mut self,
        (label, what): (String, Do),
        from: Caller<String>,
        _: &mut ActorContext<'_>,
    ) -> CallResult<Self> {
        self.write(format!("{{call,{label}}}"));
        match what {
            Do::Reply(reply) => CallResult::reply(reply),
            Do::AnswerLater => {
                self.owed = Some(from);
                CallResult::later()
            }
            what => CallResult::NoReply(self.next(what)),
        }
    }

    fn handle_cast(
        &mut self,
        (label, what): (String, Do),
        cx: &mut ActorContext<'_>,
    ) -> Next<Self> {
        if let Some(caller) = self.owed.take() {
            caller.reply(cx, &label);
        }
        self.write(format!("{{cast,{label}}}"));
        self.next(what)
    }

    fn handle_info(&mut self, info: Info, _: &mut ActorContext<'_>) -> Next<Self> {
        if let Info::Message { payload, .. } = info {
            self.write(format!("{{info,{}}}", String::from_utf8_lossy(&payload)));
        }
        Next::Wait
    }

    fn handle_continue(&mut self, label: String, _: &mut ActorContext<'_>) -> Next<Self> {
        self.write(format!("{{continue,{label}}}"));
        Next::Wait
    }

    fn handle_timeout(&mut self, _: &mut ActorContext<'_>) -> Next<Self> {
        self.write("timeout".to_owned());
        Next::Wait
    }

    fn terminate(&mut self, reason: &ExitReason, _: &mut ActorContext<'_>) {
        self.write(format!("{{terminate,{}}}", shown(reason)));
    }
}

/// A reason as Erlang prints it.
fn shown(reason: &ExitReason) -> String {
    match reason {
        ExitReason::Other(bytes) => String::from_utf8_lossy(bytes.as_bytes()).into_owned(),
        reason => reason.to_string(),
    }
}

/// What is put into the mailbox at once.
enum Arrival {
    Cast(&'static str, Do),
    Info(&'static str),
}

/// What comes in, by the machine alone.
struct Mailbox(Vec<Arrival>);

impl Golden for Mailbox {
    fn meets(self, recorded: &str) {
        let mut solo = Solo::start(ServerProcess::new(Recorded::default()));
        for arrival in self.0 {
            match arrival {
                Arrival::Cast(label, what) => {
                    let cast = ServerRef::<Recorded>::write_cast(&(label.to_owned(), what));
                    solo.message(cast.unwrap());
                }
                Arrival::Info(text) => solo.message(text),
            }
        }
        solo.advance(Duration::from_secs(1));
        let log = solo.actor().engine().server().log.lock().unwrap().join(",");
        assert_eq!(format!("[{log}]"), Term::first_of(recorded).to_string());
    }
}

/// What a caller sees on a real node: the outcome, and what the server wrote down.
struct Seen<F>(fn(Node, Recorded) -> F);

impl<F: Future<Output = String>> Golden for Seen<F> {
    fn meets(self, recorded: &str) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (outcome, log) = runtime.block_on(async {
            let settings = Settings::new(NodeName::new("golden@127.0.0.1").unwrap());
            let node = Node::start(settings).await.unwrap();
            let log = Arc::<Mutex<Vec<String>>>::default();
            let server = Recorded { log: Arc::clone(&log), ..Recorded::default() };
            let outcome = (self.0)(node.clone(), server).await;
            let log = log.lock().unwrap().join(",");
            node.shutdown().await;
            (outcome, format!("[{log}]"))
        });
        assert_eq!(outcome, essence(&Term::first_of(recorded)));
        let recorded = part(recorded, "log").to_string();
        // Where nobody looked, nothing was recorded.
        assert!(recorded == "none" || recorded == log, "{recorded} is not {log}");
    }
}

/// What was recorded, without where the call was made: `{'EXIT',{Reason,{M,F,A}}}` is `EXIT Reason`.
fn essence(outcome: &Term) -> String {
    let Term::Tuple(parts) = outcome else {
        return outcome.to_string();
    };
    match (parts[0].word(), &parts[1]) {
        ("EXIT" | "error", Term::Tuple(why)) => format!("{} {}", parts[0], why[0]),
        ("EXIT" | "error", why) => format!("{} {why}", parts[0]),
        _ => outcome.to_string(),
    }
}

async fn started(node: &Node, server: Recorded) -> ServerHandle<Recorded> {
    node.start_server(server).await.unwrap()
}

fn nope(node: &Node) -> ServerHandle<Recorded> {
    node.server(Target::Name(node.id(), ProcessName::new("nope").unwrap()))
}

fn ask(what: Do) -> (String, Do) {
    ("a".to_owned(), what)
}

fn exit<T>(outcome: Result<T, RequestError>) -> String {
    let reason = match outcome {
        Ok(_) => return "answered".to_owned(),
        Err(RequestError::Call(CallError::Timeout)) => "timeout".to_owned(),
        Err(RequestError::Call(CallError::Failed(Failure::NoProcess))) => "noproc".to_owned(),
        Err(RequestError::Call(CallError::Failed(Failure::Exited(reason)))) => shown(&reason),
        Err(other) => other.to_string(),
    };
    format!("EXIT {reason}")
}

fn casts(casts: impl IntoIterator<Item = (&'static str, Do)>) -> Mailbox {
    Mailbox(casts.into_iter().map(|(label, what)| Arrival::Cast(label, what)).collect())
}

golden! {
    "gen_server.txt",
    timeout_0_with_non_empty_mailbox_message_first_timeout_cancelled =>
        "timeout 0 with non-empty mailbox: message first, timeout cancelled",
        casts([("a", Do::Timeout(0)), ("b", Do::Nothing)]);
    timeout_20_cancelled_by_any_message_not_rearmed =>
        "timeout 20 cancelled by any message, not rearmed",
        Mailbox(vec![Arrival::Cast("a", Do::Timeout(20)), Arrival::Info("i")]);
    continue_runs_before_mailbox => "continue runs before mailbox",
        casts([("a", Do::Continue("c1".to_owned())), ("b", Do::Nothing)]);
    call_timeout => "call timeout", Seen(|node, server| async move {
        let server = started(&node, server).await;
        exit(server.call_with(&ask(Do::Nothing), Duration::from_millis(50)).await)
    });
    call_stop_no_reply_caller_exits_with_reason =>
        "call {stop,R,S} no reply: caller exits with R", Seen(|node, server| async move {
            exit(started(&node, server).await.call(&ask(Do::Stop(ExitReason::Shutdown))).await)
        });
    call_exit => "call exit", Seen(|node, server| async move {
        let boom = ExitReason::other(b"boom").unwrap();
        exit(started(&node, server).await.call(&ask(Do::Stop(boom))).await)
    });
    call_noproc_name => "call noproc name", Seen(|node, _| async move {
        exit(nope(&node).call(&ask(Do::Nothing)).await)
    });
    call_name_local_node => "call {Name, local node}", Seen(|node, _| async move {
        exit(nope(&node).call(&ask(Do::Nothing)).await)
    });
    late_reply_after_timeout_is_dropped_alias =>
        "late reply after timeout is dropped (alias)", Seen(|node, server| async move {
            let server = started(&node, server).await;
            let late = server.call_with(&ask(Do::AnswerLater), Duration::from_millis(1)).await;
            assert_eq!(exit(late), "EXIT timeout");
            server.cast(&("late".to_owned(), Do::Nothing)).await;
            match server.call(&ask(Do::Reply("next".to_owned()))).await.as_deref() {
                Ok("next") => "EXIT no_stray".to_owned(),
                other => format!("{other:?}"),
            }
        });
    init_ignore => "init ignore", Seen(|node, server| async move {
        match node.start_server(Recorded { ignores: true, ..server }).await {
            Err(ServerStartError::Ignored) => "ignore".to_owned(),
            other => format!("{other:?}"),
        }
    });
    init_timeout => "init timeout", Seen(|node, server| async move {
        let options = StartOptions::default().timeout(Duration::ZERO);
        match node.start_behaviour(options, ServerProcess::new(server)).await {
            Err(ServerStartError::Timeout) => "error timeout".to_owned(),
            other => format!("{other:?}"),
        }
    });
    wait_response_timeout_keeps_request =>
        "wait_response timeout keeps request", Seen(|node, server| async move {
            let server = started(&node, server).await;
            let options = CallOptions::default().no_timeout();
            let mut request =
                server.send_request(&ask(Do::AnswerLater), options).await.unwrap();
            let first = request.wait(Duration::from_millis(10)).await;
            assert!(first.is_none(), "{first:?}");
            server.cast(&("z".to_owned(), Do::Nothing)).await;
            format!("{{timeout,{{reply,{}}}}}", request.answer().await.unwrap())
        });
    send_request_to_dead => "send_request to dead", Seen(|node, _| async move {
        let request = nope(&node).send_request(&ask(Do::Nothing), CallOptions::default()).await;
        exit(request.unwrap().answer().await).replace("EXIT", "error")
    });
    stop_noproc => "stop noproc", Seen(|node, _| async move {
        match nope(&node).stop(ExitReason::Normal, None).await {
            Err(StopError::NoProcess) => "EXIT noproc".to_owned(),
            other => format!("{other:?}"),
        }
    });
}
