//! The program `partisan` as its users meet it: processes, files, signals, exit codes.
#![cfg(all(unix, feature = "cli"))]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use partisan_proto::Snapshot;
use partisan_proto::config::{HandlerOptions, ManagerConfig};
use partisan_tokio::{NodeName, Settings};
use serde_json::Value;
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(30);
/// How long to wait for news before asking again all the same.
const ASK_AGAIN: Duration = Duration::from_millis(100);

fn partisan(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_partisan"));
    command.args(arguments);
    command
}

fn output(arguments: &[&str]) -> Output {
    partisan(arguments).stdin(Stdio::null()).output().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A node in a process of its own; killed when dropped.
struct Process {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    socket: PathBuf,
}

impl Process {
    fn start(directory: &Path, name: &str, more: &[&str]) -> Self {
        let socket = directory.join(format!("{name}.sock"));
        let full = format!("{name}@127.0.0.1");
        let mut child = partisan(&["node", "--name", &full, "--control"])
            .arg(&socket)
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut process = Self { child, lines, seen: Vec::new(), socket };
        process.await_line("listens");
        process
    }

    fn type_line(&mut self, line: &str) {
        let mut stdin = self.child.stdin.as_ref().unwrap();
        writeln!(stdin, "{line}").unwrap();
    }

    /// Waits for a line that holds `text`, printed before or after.
    fn await_line(&mut self, text: &str) -> String {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(line) = self.seen.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(error) => panic!("no line with `{text}` ({error}): {:#?}", self.seen),
            }
        }
    }

    fn ctl(&self, arguments: &[&str]) -> Output {
        let mut command = partisan(&["ctl", "--control"]);
        command.arg(&self.socket).args(arguments);
        command.output().unwrap()
    }

    /// Asks until the answer holds this text.
    fn await_answer(&mut self, arguments: &[&str], expected: &str) {
        let end = Instant::now() + DEADLINE;
        loop {
            let output = self.ctl(arguments);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if text.contains(expected) {
                return;
            }
            assert!(Instant::now() < end, "{text}{} without {expected}", errors(&output));
            // Whatever it prints is a reason to ask at once.
            if let Ok(line) = self.lines.recv_timeout(ASK_AGAIN) {
                self.seen.push(line);
            }
        }
    }

    /// Name, address and state of each member.
    fn members(&self) -> Vec<(String, String, String)> {
        let output = self.ctl(&["members", "--json"]);
        let answer = serde_json::from_slice(&output.stdout);
        let answer: Value = answer.unwrap_or_else(|_| panic!("{}", errors(&output)));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let row = |row: &Value| {
            let addresses = row["addresses"].as_array().unwrap();
            assert_eq!(addresses.len(), 1);
            (text(&row["name"]), text(&addresses[0]), text(&row["state"]))
        };
        answer["members"].as_array().unwrap().iter().map(row).collect()
    }

    fn address(&self) -> String {
        let me = self.members().into_iter().find(|member| member.2 == "self");
        me.unwrap().1
    }

    /// Waits until the members, without their addresses, are these.
    fn await_members(&mut self, expected: &[(&str, &str)]) {
        let end = Instant::now() + DEADLINE;
        loop {
            let members = self.members();
            let found = members.iter().map(|(name, _, state)| (name.as_str(), state.as_str()));
            if found.eq(expected.iter().copied()) {
                return;
            }
            assert!(Instant::now() < end, "{members:#?} instead of {expected:#?}");
            // Whatever it prints is a reason to ask at once.
            if let Ok(line) = self.lines.recv_timeout(ASK_AGAIN) {
                self.seen.push(line);
            }
        }
    }

    /// Waits until the membership of c is stored with so many entries, its own included.
    fn await_stored(&mut self, directory: &Path, expected: usize) {
        let end = Instant::now() + DEADLINE;
        let id = NodeName::new("c@127.0.0.1").unwrap().id();
        let file = directory.join(format!("membership-{id}.state"));
        loop {
            let stored = fs::read(&file).ok().and_then(|bytes| Snapshot::decode(&bytes).ok());
            let others = stored.map_or(0, |snapshot| {
                let known = snapshot.entries.iter();
                known.filter(|entry| entry.node != id && entry.presence.is_some()).count()
            });
            if others + 1 >= expected {
                return;
            }
            assert!(Instant::now() < end, "only {others} others are stored");
            if let Ok(line) = self.lines.recv_timeout(ASK_AGAIN) {
                self.seen.push(line);
            }
        }
    }

    fn await_exit(&mut self) -> Option<i32> {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < end, "still running");
            // Ends when the process does.
            if let Ok(line) = self.lines.recv_timeout(ASK_AGAIN) {
                self.seen.push(line);
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn three(directory: &TempDir) -> [Process; 3] {
    let path = directory.path();
    let state = path.to_str().unwrap();
    let a = Process::start(path, "a", &["--state-dir", state]);
    let contact = a.address();
    let joining = ["--state-dir", state, "--join", &contact];
    let b = Process::start(path, "b", &joining);
    let c = Process::start(path, "c", &joining);
    let mut all = [a, b, c];
    for (number, node) in all.iter_mut().enumerate() {
        node.await_members(&states(number, "connected"));
    }
    all
}

/// What the members are for one of three, where c is in this state for the others.
fn states(number: usize, c: &'static str) -> Vec<(&'static str, &'static str)> {
    let names = ["a@127.0.0.1", "b@127.0.0.1", "c@127.0.0.1"];
    let mut states = ["connected", "connected", c];
    states[number] = "self";
    names.into_iter().zip(states).collect()
}

#[test]
fn the_demo_sees_all_it_promises() {
    let output = output(&["demo", "--fast"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", errors(&output));
    assert!(text.contains("All of it is true."), "{text}");
    assert!(!text.contains('\u{1b}'), "colour in a pipe");
}

#[test]
fn three_processes_agree_and_notice_a_killed_one_that_returns_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let [mut a, mut b, mut c] = three(&directory);
    let old = c.address();
    c.await_stored(directory.path(), 3);
    c.child.kill().unwrap();
    c.child.wait().unwrap();
    a.await_members(&states(0, "disconnected"));
    b.await_members(&states(1, "disconnected"));
    a.await_line("c@127.0.0.1 is down");
    // Held, so that the free port it gets is another one.
    let _held = std::net::TcpListener::bind(&old);
    let state = directory.path().to_str().unwrap();
    let mut c = Process::start(directory.path(), "c", &["--state-dir", state]);
    let new = c.address();
    assert_ne!(new, old);
    for (number, node) in [&mut a, &mut b, &mut c].into_iter().enumerate() {
        node.await_members(&states(number, "connected"));
        let entries = node.members();
        let found: Vec<_> = entries.iter().filter(|entry| entry.0.starts_with("c@")).collect();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].1, new);
    }
}

#[test]
fn a_node_leaves_through_ctl_and_stops_in_good_order() {
    let directory = tempfile::tempdir().unwrap();
    let [mut a, mut b, mut c] = three(&directory);
    assert!(c.ctl(&["leave"]).status.success());
    a.await_members(&states(0, "")[..2]);
    b.await_members(&states(1, "")[..2]);
    c.await_members(&[("c@127.0.0.1", "self")]);
    let line = a.await_line("c@127.0.0.1 is down");
    assert!(line.contains("left the cluster"), "{line}");
    assert!(c.ctl(&["shutdown"]).status.success());
    assert_eq!(c.await_exit(), Some(0));
    assert!(!c.socket.exists());
    let output = c.ctl(&["members"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(errors(&output).contains("no node answers"), "{}", errors(&output));
}

#[test]
fn lines_from_a_pipe_are_obeyed_and_messages_printed() {
    let directory = tempfile::tempdir().unwrap();
    let mut a = Process::start(directory.path(), "a", &[]);
    let mut b = Process::start(directory.path(), "b", &[]);
    b.type_line(&format!("join {}", a.address()));
    b.await_line("joined through a@127.0.0.1");
    b.type_line("send a hello there");
    a.await_line("b@127.0.0.1 on default: hello there");
    assert!(a.ctl(&["send", "b", "well", "met"]).status.success());
    b.await_line("a@127.0.0.1 on default: well met");
    b.type_line("mebmers");
    b.await_line("`mebmers` is no command");
    for what in ["connections", "peers", "counters"] {
        let output = a.ctl(&[what]);
        assert!(output.status.success(), "{what}: {}", errors(&output));
    }
    let output = a.ctl(&["send", "nobody", "x"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(errors(&output).contains("nobody"));
    b.type_line("quit");
    assert_eq!(b.await_exit(), Some(0));
}

#[test]
fn sigterm_stops_in_good_order() {
    let directory = tempfile::tempdir().unwrap();
    let mut node = Process::start(directory.path(), "a", &[]);
    let pid = node.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(node.await_exit(), Some(0));
    assert!(!node.socket.exists());
}

#[test]
fn the_control_socket_is_private_and_taken_only_from_the_dead() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = Process::start(directory.path(), "a", &[]);
    let mode = fs::metadata(&first.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let socket = first.socket.to_str().unwrap().to_owned();
    let second = output(&["node", "--name", "x", "--control", &socket]);
    assert_eq!(second.status.code(), Some(1));
    assert!(errors(&second).contains("another node answers"), "{}", errors(&second));
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    assert!(first.socket.exists());
    let again = Process::start(directory.path(), "a", &[]);
    assert_eq!(again.members().len(), 1);
    let file = directory.path().join("file");
    fs::write(&file, "precious").unwrap();
    let third = output(&["node", "--name", "x", "--control", file.to_str().unwrap()]);
    assert_eq!(third.status.code(), Some(2));
    assert_eq!(fs::read(&file).unwrap(), b"precious");
}

#[test]
fn an_overlong_or_senseless_request_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let node = Process::start(directory.path(), "a", &[]);
    for (request, expected) in [
        ("nonsense\n".to_owned(), "no request"),
        ("{\"do\":\"dance\"}\n".to_owned(), "no request"),
        ("x".repeat((64 << 10) + 1), "at most 65536 bytes"),
    ] {
        let mut stream = std::os::unix::net::UnixStream::connect(&node.socket).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        assert!(answer.contains(expected), "{answer}");
    }
    assert_eq!(node.members().len(), 1);
}

#[test]
fn mistakes_are_explained() {
    let directory = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let unknown = file("unknown.toml", "listen = []\n[driver]\nlane_bytes = 1\n");
    let range = file("range.toml", "[driver]\nread_chunk = 0\n");
    let nameless = file("nameless.toml", "listen = []\n");
    let short = file("secret", "short\n");
    let cases: [(&[&str], i32, &[&str]); 13] = [
        (&["--name", "a", "--listen", &taken], 1, &["in use", "another port"]),
        (&["--name", "a", "--config", &unknown], 2, &["line 3", "lane_bytes"]),
        (&["--name", "a", "--config", &range], 2, &["driver.read_chunk"]),
        (&["--config", &nameless], 2, &["--name"]),
        (&["--config", "/nowhere.toml"], 2, &["/nowhere.toml"]),
        (&[], 2, &["--name"]),
        (&["--name", "a", "--secret-file", &short], 2, &["16 bytes"]),
        (&["--name", "a", "--advertise", "0.0.0.0:1"], 2, &["nobody can dial"]),
        (&["--name", "a", "--manager", "hyperview"], 2, &["hyperview", "hyparview"]),
        (&["--name", "a", "--tag", ""], 2, &["--tag"]),
        (&["--name", "a", "--manager", "client-server"], 2, &["--tag server", "client"]),
        (&["--name", "a b"], 2, &["white space"]),
        (&["--name", "a", "--lsiten", "x"], 2, &["--lsiten", "--listen"]),
    ];
    for (arguments, code, words) in cases {
        let mut all = vec!["node"];
        all.extend_from_slice(arguments);
        let output = output(&all);
        let text = errors(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        for word in words {
            assert!(text.contains(word), "{arguments:?}: {text}");
        }
    }
}

#[test]
fn the_example_of_a_settings_file_is_read_and_tells_the_defaults() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/partisan.toml");
    let settings = Settings::from_file(path).unwrap();
    settings.validate().unwrap();
    let plain = Settings::new(settings.name.clone());
    assert_eq!(settings.driver, plain.driver);
    assert_eq!(settings.config.connections, plain.config.connections);
    assert_eq!(settings.config.manager, plain.config.manager);
    assert_eq!(settings.config.relay, plain.config.relay);
    assert_eq!(settings.config.partitions, plain.config.partitions);
    let mut broadcast = settings.config.broadcast.clone();
    let named = broadcast.handlers.remove("default");
    assert_eq!(named, Some(HandlerOptions::default()));
    assert_eq!(broadcast, plain.config.broadcast);
    // Nothing new may be missing from the example.
    let text = fs::read_to_string(path).unwrap();
    let mut written: toml::Table = text.parse().unwrap();
    let mut all = toml::Table::try_from(&settings).unwrap();
    // Without it the addresses bound are told.
    all.remove("advertise");
    for table in [&mut all, &mut written] {
        table["config"].as_table_mut().unwrap().remove("channels");
    }
    assert_eq!(keys(&written), keys(&all), "the keys of the example and those there are");
}

/// Each key of a table with those it is in.
fn keys(table: &toml::Table) -> Vec<String> {
    let of = |(key, value): (&String, &toml::Value)| match value {
        toml::Value::Table(inner) => {
            keys(inner).into_iter().map(|inner| format!("{key}.{inner}")).collect()
        }
        _ => vec![key.clone()],
    };
    let mut keys: Vec<String> = table.iter().flat_map(of).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn what_the_example_shows_of_other_managers_is_right() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/partisan.toml");
    let text = fs::read_to_string(path).unwrap();
    let all: Vec<&str> = text.lines().collect();
    let start = |line: &&str| line.starts_with("# [config.manager.");
    let mut found = Vec::new();
    for (place, _) in all.iter().enumerate().filter(|(_, line)| start(line)) {
        if all[place - 1] != "#" {
            // A table within the one before.
            continue;
        }
        let block = all[place..].iter().take_while(|line| line.len() > 1);
        let block: Vec<&str> = block.filter_map(|line| line.strip_prefix("# ")).collect();
        let settings = Settings::from_toml(&format!("name = 'a'\n{}", block.join("\n")));
        let settings = settings.unwrap_or_else(|error| panic!("{block:#?}: {error}"));
        settings.validate().unwrap();
        found.push(settings.config.manager);
    }
    assert!(matches!(
        found.as_slice(),
        [
            ManagerConfig::HyParView(_),
            ManagerConfig::ClientServer(_),
            ManagerConfig::Static(_),
            ManagerConfig::Pluggable(_),
        ]
    ));
}

#[test]
fn a_broadcast_reaches_another_process_and_its_tree_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let mut a = Process::start(directory.path(), "a", &["--manager", "hyparview"]);
    let contact = a.address();
    let joining = ["--manager", "hyparview", "--join", &contact];
    let mut b = Process::start(directory.path(), "b", &joining);
    b.await_line("joined through a@127.0.0.1");
    a.await_answer(&["neighbors"], "b@127.0.0.1");
    b.await_answer(&["neighbors"], "a@127.0.0.1");
    let told = a.ctl(&["broadcast", "hello", "everybody"]);
    assert!(told.status.success(), "{}", errors(&told));
    assert_eq!(String::from_utf8_lossy(&told.stdout), "told to all; 1 neighbour passes it on\n");
    b.await_line("a@127.0.0.1 to all: hello everybody");
    b.type_line("broadcast  well  met ");
    a.await_line("b@127.0.0.1 to all: well  met");
    a.await_answer(&["views"], "active   b@127.0.0.1");
    a.await_answer(&["tree", "b"], "sent to       b@127.0.0.1");
    let tree = b.ctl(&["tree", "a", "--json"]);
    let tree: Value = serde_json::from_slice(&tree.stdout).unwrap();
    assert_eq!(tree["tree"]["eager"][0], "a@127.0.0.1");
    let none = a.ctl(&["tree", "nobody"]);
    assert_eq!(none.status.code(), Some(3));
    assert!(a.seen.iter().all(|line| !line.contains("to all: hello")), "own are not printed");
}

#[test]
fn clients_reach_each_other_through_a_server() {
    let directory = tempfile::tempdir().unwrap();
    let star = |tag: &'static str| ["--manager", "client-server", "--tag", tag];
    let mut server = Process::start(directory.path(), "a", &star("server"));
    let contact = server.address();
    let mut clients = ["b", "c"].map(|name| {
        let more = [&star("client")[..], &["--join", &contact]].concat();
        let mut client = Process::start(directory.path(), name, &more);
        client.await_line("joined through a@127.0.0.1");
        client
    });
    server.await_answer(&["neighbors"], "b@127.0.0.1\nc@127.0.0.1");
    let [b, c] = &mut clients;
    b.await_members(&[("a@127.0.0.1", "connected"), ("b@127.0.0.1", "self")]);
    // Clients are not told of each other: the short name is unknown, the full one is enough.
    assert_eq!(b.ctl(&["send", "c", "hello"]).status.code(), Some(3));
    let sent = b.ctl(&["send", "c@127.0.0.1", "hello"]);
    assert!(sent.status.success(), "{}", errors(&sent));
    c.await_line("on default: hello");
    let broadcast = b.ctl(&["broadcast", "to", "all"]);
    assert!(broadcast.status.success(), "{}", errors(&broadcast));
    server.await_line("b@127.0.0.1 to all: to all");
    c.await_line("to all: to all");
}

#[test]
fn an_injected_partition_is_shown_and_resolved() {
    let directory = tempfile::tempdir().unwrap();
    let mut a = Process::start(directory.path(), "a", &[]);
    let contact = a.address();
    let mut b = Process::start(directory.path(), "b", &["--join", &contact]);
    b.await_line("joined through a@127.0.0.1");
    a.await_answer(&["neighbors"], "b@127.0.0.1");
    let injected = a.ctl(&["partition", "--ttl", "1"]);
    assert!(injected.status.success(), "{}", errors(&injected));
    let text = String::from_utf8_lossy(&injected.stdout).into_owned();
    let id = text.trim().strip_prefix("injected ").unwrap().to_owned();
    b.await_line("nothing is sent to the neighbours");
    b.await_answer(&["partitions"], &format!("{id}  a@127.0.0.1"));
    assert_eq!(a.ctl(&["send", "b", "x"]).status.code(), Some(3));
    assert_eq!(b.ctl(&["resolve", "nothing"]).status.code(), Some(3));
    let resolved = a.ctl(&["resolve", &id]);
    assert!(resolved.status.success(), "{}", errors(&resolved));
    b.await_line("is over");
    b.await_answer(&["partitions"], "no injected partitions");
    b.type_line("send a healed");
    a.await_line("b@127.0.0.1 on default: healed");
}

#[test]
fn processes_of_any_node_their_names_and_calls_are_shown() {
    use partisan_tokio::{Contact, Node, NodeName, ProcessName, Settings, SpawnOptions};
    let directory = tempfile::tempdir().unwrap();
    let mut a = Process::start(directory.path(), "a", &[]);
    let contact = Contact::at(a.address().parse().unwrap());
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build().unwrap();
    let (library, process) = runtime.block_on(async {
        let settings = Settings::new(NodeName::new("library@127.0.0.1").unwrap());
        let node = Node::start(settings).await.unwrap();
        node.sync_join(contact, Duration::from_secs(30)).await.unwrap();
        let options = SpawnOptions::default().name(ProcessName::new("store").unwrap());
        let process = node.attach(options).await.unwrap();
        (node, process)
    });
    let reference = partisan_tokio::Reference::from(process.id()).to_text(&library.name());
    a.await_answer(&["whereis", "library", "store"], &reference);
    a.await_answer(&["processes", "library"], &format!("{reference}  store  0"));
    a.await_answer(&["processes"], "no processes");
    let nobody = a.ctl(&["whereis", "library", "nobody"]);
    assert_eq!(nobody.status.code(), Some(3));
    assert!(errors(&nobody).contains("nobody is registered as `nobody`"), "{}", errors(&nobody));
    // One for whose name, one for all processes, one for each.
    a.await_answer(&["calls"], "timed out            0");
    runtime.block_on(library.shutdown());
    drop(process);
}
