//! What processes see once the cluster has come right: links agree, messages that must arrive do,
//! an end is told to all whom it concerns, and nothing is left of those who ended.

use std::collections::BTreeSet;

use partisan_proto::{Answer, ChannelId, Duration, ProcessId, Ticket};

use crate::check::processes::{Truth, links};
use crate::check::{Violation, ViolationKind};
use crate::draw::Stream;
use crate::workload::deed::{Aim, Deed, Ending, Road};
use crate::workload::processes::labels;
use crate::world::World;

/// How long what is under way goes on: reminders, calls, messages that expire, causal ones that
/// wait for such.
const QUIET: Duration = Duration::from_secs(90);
/// How long news of processes, or a message, may be on its way.
const WAY: Duration = Duration::from_secs(10);

/// Lets all that is under way end, and demands what must be true then; then ends all processes but
/// one of each node, and then those.
pub(super) fn settle(world: &mut World, stream: &mut Stream, truth: &Truth) {
    world.run_for(QUIET);
    demand_parcels(world);
    let survivors = choose_survivors(world, stream);
    world.run_for(WAY);
    judge(world);
    if !world.violations().is_empty() {
        return;
    }
    let linked = links::all(world);
    let others: Vec<ProcessId> = living(world).filter(|other| !survivors.contains(other)).collect();
    for process in others {
        world.order(process, Deed::End(Ending::Own(0)));
    }
    world.run_for(WAY);
    judge(world);
    demand_exits(world, truth, (&linked, &survivors));
    for process in living(world).collect::<Vec<_>>() {
        world.order(process, Deed::End(Ending::Normal));
    }
    world.run_for(WAY);
    demand_nothing(world);
}

fn judge(world: &mut World) {
    world.check_rest();
    if let Some(problem) = links::one_sided(world) {
        world.report(problem);
    }
}

/// All processes.
fn living(world: &World) -> impl Iterator<Item = ProcessId> {
    let nodes: Vec<usize> = world.live().collect();
    nodes.into_iter().flat_map(|node| world.processes(node))
}

/// Each node sends to each that it is connected to, without label and with each; all arrives.
fn demand_parcels(world: &mut World) {
    world.record(true);
    let nodes: Vec<usize> = world.live().collect();
    let mut sent: Vec<(usize, usize, Ticket)> = Vec::new();
    for from in &nodes {
        for to in nodes.iter().filter(|to| *to != from) {
            if !world.is_connected(*from, *to) {
                continue;
            }
            for label in [None].into_iter().chain((0..labels().len() as u8).map(Some)) {
                let lane = (ChannelId::DEFAULT, label.map(u64::from));
                sent.push((*from, *to, world.send_parcel((*from, *to), lane, label, None)));
            }
        }
    }
    world.run_for(WAY);
    world.record(false);
    for (from, to, ticket) in sent {
        let answer = world.reply(from, ticket).cloned();
        if answer != Some(Ok(Answer::Acknowledged)) && world.is_connected(from, to) {
            let text = format!("a message from {from} did not arrive in {WAY:?}: {answer:?}");
            let kind = ViolationKind::Undelivered;
            world.report(Violation::new(kind, world.now(), Some(to), text));
        }
    }
}

/// On each node one process that traps exits, watches all others, and is linked to some.
fn choose_survivors(world: &mut World, stream: &mut Stream) -> BTreeSet<ProcessId> {
    let nodes: Vec<usize> = world.live().collect();
    let mut survivors = BTreeSet::new();
    for node in &nodes {
        // Where there are none, there will be.
        world.do_deed(*node, 0, Deed::Trap(true));
    }
    world.run_for(WAY);
    let key = Some(0);
    let road = Road { channel: ChannelId::DEFAULT.0, key };
    for node in &nodes {
        let Some(survivor) = world.processes(*node).last().copied() else {
            continue;
        };
        survivors.insert(survivor);
        world.order(survivor, Deed::Trap(true));
        for other in &nodes {
            for pick in 0..world.processes(*other).len() {
                let whom = Aim::Process { node: *other, pick, former: false };
                world.order(survivor, Deed::Watch(whom.clone(), road));
                if stream.one_in(2) {
                    world.order(survivor, Deed::Link(whom));
                }
            }
        }
    }
    survivors
}

/// Those who were linked to one that ended, and trap exits, live and were told.
fn demand_exits(
    world: &mut World,
    truth: &Truth,
    (linked, survivors): (&BTreeSet<(ProcessId, ProcessId)>, &BTreeSet<ProcessId>),
) {
    let living: BTreeSet<ProcessId> = living(world).collect();
    for (one, other) in linked {
        let untold = !survivors.contains(one)
            && survivors.contains(other)
            && !(living.contains(other) && truth.heard_of_exit(*other, *one));
        if untold || living.contains(one) && !survivors.contains(one) {
            let text = format!("{other:?} was linked to {one:?}, and not told of its end");
            let node = world.number(other.node);
            world.report(Violation::new(ViolationKind::Untold, world.now(), node, text));
        }
    }
}

/// Nothing is left of processes, calls and messages that had to arrive.
fn demand_nothing(world: &mut World) {
    for number in world.live().collect::<Vec<_>>() {
        let Some(node) = world.hosts()[number].node() else {
            continue;
        };
        let (counts, calls, under_way) = (node.process_counts(), node.calls(), node.deliveries());
        let clean = counts == Default::default() && calls == (0, 0) && under_way == (0, 0);
        if !clean {
            let text = format!(
                "all processes ended, and left are {counts:?}, calls {calls:?}, messages {under_way:?}"
            );
            world.report(Violation::new(ViolationKind::Leak, world.now(), Some(number), text));
        }
    }
}
