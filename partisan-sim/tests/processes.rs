//! Processes in the simulator: the host of pure machines.

use std::rc::Rc;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use partisan_proto::behaviour::{AnswerError, Protocol, ServerRef};
use partisan_proto::call::{CallError, Failure, Server};
use partisan_proto::process::{Actor, ActorContext, Input, SpawnOptions};
use partisan_proto::{
    ChannelId, Command, Duration, ExitReason, ProcessId, ProcessName, Send, Serial, Signal, Target,
};
use partisan_sim::check::{self, mesh};
use partisan_sim::processes::MAILBOX;
use partisan_sim::{Restart, World, WorldOptions};

/// Does one thing at its start, and writes down what it is told.
struct Probe {
    begin: Option<Begin>,
    told: Told,
}

type Begin = Box<dyn FnOnce(&mut ActorContext<'_>) + std::marker::Send>;
type Told = Arc<Mutex<Vec<Input>>>;

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Probe")
    }
}

impl Actor for Probe {
    fn start(&mut self, cx: &mut ActorContext<'_>) {
        if let Some(begin) = self.begin.take() {
            begin(cx);
        }
    }

    fn handle(&mut self, cx: &mut ActorContext<'_>, input: Input) {
        if let Input::Request { reply_to, payload } = &input {
            cx.reply(*reply_to, Ok([&b"re: "[..], payload].concat().into()));
        }
        if let Input::Message { payload, .. } = &input {
            match &payload[..] {
                b"panic" => panic!("oh dear"),
                b"end" => cx.end(ExitReason::Shutdown),
                _ => {}
            }
        }
        self.told.lock().unwrap().push(input);
    }
}

fn probe(begin: impl FnOnce(&mut ActorContext<'_>) + std::marker::Send + 'static) -> (Probe, Told) {
    let told = Told::default();
    (Probe { begin: Some(Box::new(begin)), told: told.clone() }, told)
}

fn cluster() -> World {
    let mut world = World::new(WorldOptions { seed: 1, ..WorldOptions::default() });
    check::watch(&mut world);
    world.add_nodes(2);
    world.join(1, 0);
    let groups = [vec![0, 1]];
    let formed = |world: &World| mesh::problem(world, &groups).is_none();
    assert!(world.run_until(formed, Duration::from_secs(30)));
    world
}

fn second(world: &mut World) {
    world.run_for(Duration::from_secs(1));
}

fn tell(world: &mut World, from: usize, to: ProcessId, payload: &'static [u8]) {
    let destination = partisan_proto::wire::Destination::of(&Target::Process(to));
    let (to, channel, payload) = (to.node, ChannelId::DEFAULT, Bytes::from_static(payload));
    let send = Send { to, channel, key: None, destination, relay: false, payload };
    world.command(from, Command::Send(send));
}

fn signals(told: &Told) -> Vec<Signal> {
    let told = told.lock().unwrap();
    let signals = told.iter().filter_map(|input| match input {
        Input::Signal(signal) => Some(signal.clone()),
        _ => None,
    });
    signals.collect()
}

fn name(text: &str) -> ProcessName {
    ProcessName::new(text).unwrap()
}

/// The reason that a watcher on node 0 is told of.
fn down(told: &Told) -> Option<ExitReason> {
    match &signals(told)[..] {
        [] => None,
        [Signal::Down { reason, .. }] => Some(reason.clone()),
        others => panic!("{others:?}"),
    }
}

#[test]
fn a_process_is_asked_watched_and_ended_from_another_node() {
    let mut world = cluster();
    let server = world.spawn(1, probe(|_| {}).0).unwrap();
    second(&mut world);
    let (client, told) = probe(move |cx| {
        cx.monitor(server);
        cx.call(Server::Process(server.into()), "hello".into(), None);
    });
    world.spawn(0, client);
    second(&mut world);
    let answer = Signal::Answer { number: 2, result: Ok("re: hello".into()) };
    assert_eq!(signals(&told), [answer]);
    told.lock().unwrap().clear();
    tell(&mut world, 0, server, b"end");
    second(&mut world);
    assert_eq!(down(&told), Some(ExitReason::Shutdown));
    assert_eq!(world.processes(1), []);
    tell(&mut world, 0, server, b"anybody?");
    second(&mut world);
    assert_eq!(world.process_traffic(1).undeliverable, 1);
    assert_eq!(world.violations(), []);
}

#[test]
fn a_panic_is_an_exit_reason() {
    let mut world = cluster();
    let victim = world.spawn(1, probe(|_| {}).0).unwrap();
    let (watcher, told) = probe(move |cx| _ = cx.monitor(victim));
    second(&mut world);
    world.spawn(0, watcher);
    second(&mut world);
    tell(&mut world, 0, victim, b"panic");
    second(&mut world);
    assert_eq!(down(&told), Some(ExitReason::panicked("oh dear")));
}

#[test]
fn a_name_is_of_one_process_and_stands_for_it() {
    let mut world = cluster();
    let (first, told) = probe(|cx| cx.register(name("x")));
    let first = world.spawn(1, first).unwrap();
    second(&mut world);
    let second_one = world.spawn(1, probe(|cx| cx.register(name("x"))).0).unwrap();
    second(&mut world);
    assert_eq!(world.processes(1), [first], "{second_one:?} has no name and ends");
    let to = Target::Name(first.node, name("x"));
    let (sender, _) = probe(move |cx| cx.send(&to, "hello".into()));
    world.spawn(0, sender);
    second(&mut world);
    assert_eq!(told.lock().unwrap().len(), 1);
}

#[test]
fn a_crash_takes_all_processes_and_a_restart_brings_new_ones() {
    let mut world = cluster();
    let told = Told::default();
    let heard = told.clone();
    world.set_program(Rc::new(move |_, _| {
        let probe = Probe { begin: None, told: heard.clone() };
        vec![(Box::new(probe) as Box<dyn Actor>, SpawnOptions::default())]
    }));
    let old = world.spawn(1, probe(|_| {}).0).unwrap();
    second(&mut world);
    world.crash(1);
    assert_eq!(world.processes(1), []);
    world.restart(1, Restart { keep_state: true, new_address: false });
    second(&mut world);
    assert!(world.run_until(|world| world.is_connected(0, 1), Duration::from_secs(60)));
    let new = world.processes(1)[0];
    assert_eq!((new.serial, old.serial), (Serial(1), Serial(1)));
    tell(&mut world, 0, old, b"for the old one");
    second(&mut world);
    assert_eq!((told.lock().unwrap().len(), world.process_traffic(1).undeliverable), (0, 1));
    tell(&mut world, 0, new, b"for the new one");
    second(&mut world);
    assert_eq!(told.lock().unwrap().len(), 1);
}

#[test]
fn a_full_mailbox_drops_messages_and_refuses_requests_and_takes_signals() {
    let mut world = cluster();
    let (busy, told) = probe(|_| {});
    let busy = world.spawn(1, busy).unwrap();
    second(&mut world);
    for _ in 0..=MAILBOX {
        tell(&mut world, 1, busy, b"x");
    }
    let full = world.process_traffic(1);
    assert_eq!((full.delivered, full.overflowed), (MAILBOX as u64, 1));
    let (client, answers) = probe(move |cx| {
        cx.call(Server::Process(busy.into()), "x".into(), None);
        cx.exit(busy, ExitReason::Shutdown);
    });
    world.spawn(1, client);
    assert!(world.run_until(|world| world.processes(1).len() == 1, Duration::from_secs(1)));
    second(&mut world);
    let refused = Err(CallError::Failed(Failure::Overloaded));
    let ended = Err(CallError::Failed(Failure::Exited(ExitReason::Shutdown)));
    let told_so = signals(&answers);
    // Whichever came first: some of the mailbox may have been read by then.
    let outcome = |result| vec![Signal::Answer { number: 1, result }];
    assert!(told_so == outcome(refused) || told_so == outcome(ended), "{told_so:?}");
    assert!(told.lock().unwrap().len() < MAILBOX, "it was ended");
}

#[test]
fn what_is_not_wanted_any_more_is_taken_out_of_the_mailbox() {
    let mut world = cluster();
    let server = world.spawn(0, probe(|_| {}).0).unwrap();
    second(&mut world);
    // Both are answered at once, into the mailbox.
    let (client, told) = probe(move |cx| {
        let nobody = ProcessId { serial: Serial(99), ..server };
        let watched = cx.monitor(nobody);
        let asked = cx.call(Server::Process(nobody.into()), "x".into(), None);
        cx.demonitor(watched);
        cx.abandon(asked);
        cx.send_after(Duration::from_millis(1), server, "x".into());
    });
    world.spawn(0, client);
    second(&mut world);
    assert_eq!(signals(&told), []);
}

#[test]
fn functions_run_and_fail_for_requests() {
    let mut world = cluster();
    world.register_function(
        name("double"),
        Rc::new(|asked| (Duration::from_millis(5), Ok([&asked[..], asked].concat().into()))),
    );
    let node = world.hosts()[1].name().id();
    let (client, told) = probe(move |cx| {
        for function in ["double", "nothing"] {
            let server = Server::Function(node, ProcessName::new(function).unwrap());
            cx.call(server, "ab".into(), None);
        }
    });
    world.spawn(0, client);
    second(&mut world);
    let mut answers = signals(&told);
    answers.sort_by_key(|answer| format!("{answer:?}"));
    let none = Err(CallError::Failed(Failure::NoFunction));
    let expected = [(1, Ok("abab".into())), (2, none)];
    assert_eq!(answers, expected.map(|(number, result)| Signal::Answer { number, result }));
}

#[test]
fn an_answer_waits_for_the_end_of_an_injected_partition() {
    let mut world = cluster();
    let slow = Duration::from_millis(500);
    world.register_function(name("slow"), Rc::new(move |asked| (slow, Ok(asked.clone()))));
    let node = world.hosts()[1].name().id();
    let (client, answers) = probe(move |cx| {
        let server = Server::Function(node, ProcessName::new("slow").unwrap());
        cx.call(server, "x".into(), None);
    });
    world.spawn(0, client);
    let asked = |world: &World| world.hosts()[1].node().is_some_and(|node| node.calls().1 == 1);
    assert!(world.run_until(asked, Duration::from_secs(1)));
    world.command(1, Command::InjectPartition { ttl: 0 });
    second(&mut world);
    assert_eq!(signals(&answers), []);
    let answered = world.hosts()[1].node().is_some_and(|node| node.calls().1 == 0);
    assert!(answered, "as far as the function is concerned");
    let id = world.partitions(1).first().copied().unwrap();
    world.command(1, Command::ResolvePartition(id));
    second(&mut world);
    assert_eq!(signals(&answers), [Signal::Answer { number: 1, result: Ok("x".into()) }]);
}

/// Speaks to nobody, as it is nowhere.
#[derive(Debug)]
struct Nobody;

impl Protocol for Nobody {
    type Call = ();
    type Reply = ();
    type Cast = ();
}

#[test]
fn a_node_itself_asks_and_learns_what_came_of_it_unless_it_dies() {
    let mut world = cluster();
    let heard = Rc::new(std::cell::Cell::new(0));
    let ask = |world: &mut World| {
        let (heard, there) = (heard.clone(), world.hosts()[1].name().id());
        let server = ServerRef::<Nobody>::named(there, name("nobody"));
        world.ask(0, &server, &(), None, move |_, reply| {
            let none = AnswerError::Call(CallError::Failed(Failure::NoProcess));
            assert_eq!(reply, Err(none));
            heard.set(heard.get() + 1);
        });
    };
    ask(&mut world);
    second(&mut world);
    assert_eq!(heard.get(), 1);
    ask(&mut world);
    world.crash(0);
    second(&mut world);
    ask(&mut world);
    second(&mut world);
    assert_eq!(heard.get(), 1, "the dead ask nothing and hear nothing");
}
