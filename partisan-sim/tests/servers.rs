//! Servers in the simulator: written once, they keep what they promise under faults of all kinds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use partisan_proto::behaviour::{
    CallResult, Caller, GenServer, Info, Init, Next, Pending, Protocol, ServerProcess, ServerRef,
};
use partisan_proto::process::{ActorContext, SpawnOptions};
use partisan_proto::{Duration, NodeId, ProcessName};
use partisan_sim::check::{self, mesh};
use partisan_sim::draw::{Label, draw};
use partisan_sim::{Restart, World, WorldOptions};
use serde::{Deserialize, Serialize};

const NODES: usize = 4;

/// Keeps a sum. Each sum that it answers is greater than the one before.
#[derive(Debug, Default)]
struct Bank {
    /// Which of the banks there ever were on its node.
    life: u32,
    sum: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Add(u64);

impl Protocol for Bank {
    type Call = Add;
    type Reply = (u32, u64);
    type Cast = Add;
}

impl GenServer for Bank {
    type Continue = ();

    fn handle_call(
        &mut self,
        Add(more): Add,
        _: Caller<(u32, u64)>,
        _: &mut ActorContext<'_>,
    ) -> CallResult<Self> {
        self.sum += more;
        CallResult::reply((self.life, self.sum))
    }

    fn handle_cast(&mut self, Add(more): Add, _: &mut ActorContext<'_>) -> Next<Self> {
        self.sum += more;
        Next::Wait
    }
}

/// What customers learned and did.
#[derive(Debug, Default)]
struct Ledger {
    /// The sums that were answered, by the bank's life.
    answered: BTreeMap<u32, Vec<u64>>,
    asked: u64,
    /// Answered or failed.
    over: u64,
}

/// Pays in one at a time, again and again.
#[derive(Debug)]
struct Customer {
    bank: ServerRef<Bank>,
    waiting: Option<Pending<(u32, u64)>>,
    ledger: Arc<Mutex<Ledger>>,
}

impl Customer {
    fn pay(&mut self, cx: &mut ActorContext<'_>) -> Next<Self> {
        // What is told before is there when it is answered.
        self.bank.cast(cx, &Add(1)).unwrap();
        let timeout = Some(Duration::from_millis(700));
        self.waiting = Some(self.bank.call(cx, &Add(1), timeout).unwrap());
        self.ledger.lock().unwrap().asked += 1;
        Next::Wait
    }
}

impl Protocol for Customer {
    type Call = ();
    type Reply = ();
    type Cast = ();
}

impl GenServer for Customer {
    type Continue = ();

    fn init(&mut self, _: &mut ActorContext<'_>) -> Init<Self> {
        Init::Run(Next::Timeout(Duration::from_secs(1)))
    }

    fn handle_call(&mut self, (): (), _: Caller<()>, _: &mut ActorContext<'_>) -> CallResult<Self> {
        CallResult::reply(())
    }

    fn handle_cast(&mut self, (): (), _: &mut ActorContext<'_>) -> Next<Self> {
        Next::Wait
    }

    fn handle_timeout(&mut self, cx: &mut ActorContext<'_>) -> Next<Self> {
        self.pay(cx)
    }

    fn handle_info(&mut self, info: Info, cx: &mut ActorContext<'_>) -> Next<Self> {
        let Info::Signal(signal) = info else { return Next::Wait };
        let Some(answer) = self.waiting.and_then(|pending| pending.answer(&signal)) else {
            return Next::Wait;
        };
        let mut ledger = self.ledger.lock().unwrap();
        ledger.over += 1;
        match answer {
            Ok((life, sum)) => {
                ledger.answered.entry(life).or_default().push(sum);
                drop(ledger);
                self.pay(cx)
            }
            Err(_) => Next::Timeout(Duration::from_millis(100)),
        }
    }
}

fn name() -> ProcessName {
    ProcessName::new("bank").unwrap()
}

/// A bank on node 0 and a customer on each of the others, from each of their starts.
fn town(seed: u64, ledger: &Arc<Mutex<Ledger>>) -> World {
    let mut world = World::new(WorldOptions { seed, ..WorldOptions::default() });
    check::watch(&mut world);
    let ids: Arc<Mutex<Vec<NodeId>>> = Arc::default();
    let (ledger, known) = (Arc::clone(ledger), Arc::clone(&ids));
    world.set_program(std::rc::Rc::new(move |node, life| {
        if node == 0 {
            let bank = ServerProcess::new(Bank { life, sum: 0 });
            let options = SpawnOptions { name: Some(name()), ..SpawnOptions::default() };
            return vec![(Box::new(bank), options)];
        }
        let bank = ServerRef::named(known.lock().unwrap()[0], name());
        let customer = Customer { bank, waiting: None, ledger: Arc::clone(&ledger) };
        vec![(Box::new(ServerProcess::new(customer)), SpawnOptions::default())]
    }));
    world.add_nodes(1);
    ids.lock().unwrap().push(world.hosts()[0].name().id());
    world.add_nodes(NODES - 1);
    (1..NODES).for_each(|node| _ = world.join(node, 0));
    let formed = |world: &World| mesh::problem(world, &[(0..NODES).collect()]).is_none();
    assert!(world.run_until(formed, Duration::from_secs(30)), "seed {seed}");
    world
}

/// What a customer learned of each life of the bank: each sum once, and all told before is in it.
fn judge(seed: u64, ledger: &Ledger, dead_customers: u64) {
    for (life, sums) in &ledger.answered {
        let mut once = sums.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), sums.len(), "seed {seed}: bank {life} answered a sum twice");
    }
    let waiting = ledger.asked - ledger.over;
    assert!(waiting <= (NODES as u64 - 1) + dead_customers, "seed {seed}: calls are left");
}

#[test]
fn a_bank_keeps_its_books_while_nodes_and_links_fail() {
    let mut lives = 0;
    for seed in 0..60 {
        let ledger = Arc::default();
        let mut world = town(seed, &ledger);
        let mut killed = 0;
        for trouble in 0..6 {
            world.run_for(Duration::from_secs(3));
            let dice = draw(seed, Label::Application, 99, trouble);
            let victim = (dice % NODES as u64) as usize;
            match dice >> 32 & 3 {
                0 => world.partition(&[&[0, victim], &others(victim)]),
                1 => world.heal(),
                _ => {
                    killed += u64::from(victim != 0);
                    world.crash(victim);
                    world.run_for(Duration::from_millis(dice >> 40 & 1023));
                    world.restart(victim, Restart { keep_state: true, new_address: false });
                }
            }
        }
        world.heal();
        let before = ledger.lock().unwrap().over;
        world.run_for(Duration::from_secs(120));
        assert_eq!(world.violations(), [], "seed {seed}");
        let ledger = ledger.lock().unwrap();
        assert!(ledger.over > before + 100, "seed {seed}: no business after the faults");
        judge(seed, &ledger, killed);
        lives += ledger.answered.len();
    }
    assert!(lives > 60, "banks died, too: {lives}");
}

fn others(victim: usize) -> Vec<usize> {
    (1..NODES).filter(|node| *node != victim).collect()
}

#[test]
fn a_run_of_servers_is_the_same_twice() {
    let run = || {
        let ledger = Arc::default();
        let mut world = town(7, &ledger);
        world.run_for(Duration::from_secs(20));
        let over = ledger.lock().unwrap().over;
        (world.hash(), over)
    };
    assert_eq!(run(), run());
}
