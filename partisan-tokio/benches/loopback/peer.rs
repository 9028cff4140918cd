//! The second process: this program once more, told what to do on its standard input.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use partisan_tokio::Address;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::process::{cpu, memory};
use crate::{bare, node};

/// The argument that makes this program the second process.
pub(crate) const ROLE: &str = "--peer";

/// Messages received. One for each thread would be quicker to count; both sides count here.
static RECEIVED: AtomicU64 = AtomicU64::new(0);

/// Notes that messages were received.
pub(crate) fn count(messages: u64) {
    RECEIVED.fetch_add(messages, Ordering::Relaxed);
}

/// What the second process does: it starts its servers, tells where they are, and answers until
/// its input ends.
pub(crate) fn run(runtime: &Runtime) {
    let (addresses, _kept) = runtime.block_on(async {
        let node = Arc::new(node::start("peer@127.0.0.1").await);
        tokio::spawn(node::sink(node.inbox().expect("taken once")));
        tokio::spawn(node::echo(Arc::clone(&node)));
        let stalled = node::STALLED.map(|name| node.register(name).expect("registered once"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let bare = listener.local_addr().expect("bound");
        tokio::spawn(bare::serve(listener));
        let address = node.spec().addresses()[0].clone();
        (format!("{address} {bare}"), (node, stalled))
    });
    say(&addresses);
    for line in std::io::stdin().lines() {
        let line = line.expect("the first process writes lines");
        match line.split_once(' ') {
            None if line == "begin" => RECEIVED.store(0, Ordering::Relaxed),
            None => {}
            Some((_, count)) => {
                let count = count.parse().expect("a number");
                while RECEIVED.load(Ordering::Relaxed) < count {
                    std::thread::sleep(Duration::from_micros(300));
                }
            }
        }
        say(&format!("{} {}", cpu().as_nanos(), memory()));
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the first process reads");
}

/// What the second process has used so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    pub(crate) cpu: Duration,
    /// Bytes of resident memory.
    pub(crate) memory: u64,
}

/// The second process, seen from the first.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) node: Address,
    pub(crate) bare: SocketAddr,
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Peer {
    pub(crate) fn spawn(threads: usize) -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let mut child = Command::new(program)
            .args([ROLE, "--threads", &threads.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started once more");
        let to = child.stdin.take();
        let mut from = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        from.read_line(&mut line).expect("the second process tells its addresses");
        let (node, bare) = line.trim().split_once(' ').expect("two addresses");
        Self {
            node: node.parse().expect("an address"),
            bare: bare.parse().expect("an address"),
            child,
            to,
            from,
        }
    }

    fn ask(&mut self, what: &str) -> Used {
        let to = self.to.as_mut().expect("open until the end");
        writeln!(to, "{what}").expect("the second process reads");
        let mut line = String::new();
        self.from.read_line(&mut line).expect("the second process answers");
        let (cpu, memory) = line.trim().split_once(' ').expect("two numbers");
        Used {
            cpu: Duration::from_nanos(cpu.parse().expect("a number")),
            memory: memory.parse().expect("a number"),
        }
    }

    /// Counts from nought again.
    pub(crate) fn begin(&mut self) -> Used {
        self.ask("begin")
    }

    /// Waits until so many messages have arrived.
    pub(crate) fn received(&mut self, messages: u64) -> Used {
        self.ask(&format!("await {messages}"))
    }

    /// Only asks.
    pub(crate) fn used(&mut self) -> Used {
        self.ask("used")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.to = None;
        let _ = self.child.wait();
    }
}
