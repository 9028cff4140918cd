//! Leaving, removing, later lives, and whom a node lets in.

use super::*;
use crate::wire::Shuffle;

fn removal(number: usize, upto: u64) -> HyParViewMessage {
    HyParViewMessage::Removal { node: id(number), upto: Incarnation(upto) }
}

fn removals(output: &Output) -> Vec<(usize, NodeId, u64)> {
    let of = |(to, message): (usize, &HyParViewMessage)| match message {
        HyParViewMessage::Removal { node, upto } => Some((to, *node, upto.0)),
        _ => None,
    };
    messages(output).into_iter().filter_map(of).collect()
}

fn knock(machine: &mut Machine<HyParView>, number: usize, life: u64, known: u64) -> Change {
    let connection = ConnectionId::accepted(900);
    let instance = instance(&spec(number), life);
    let known = (known > 0).then_some(Incarnation(known));
    let knock = Change::Knock { connection, instance, spec: spec(number), known };
    machine.change(knock).changes.pop().expect("every knock is answered")
}

fn refusal(answer: &Change) -> Option<Refusal> {
    match answer {
        Change::TurnAway { refusal, .. } => Some(*refusal),
        _ => None,
    }
}

#[test]
fn who_leaves_tells_its_neighbors_and_is_a_later_life_alone() {
    let mut machine = with_neighbors(config(), 3);
    let output = machine.command(5, Command::Leave);
    let leaving = |(_, message): &(usize, &HyParViewMessage)| match message {
        HyParViewMessage::Disconnect(end) => end.why == Parting::Leaving && !end.hints.is_empty(),
        _ => false,
    };
    assert_eq!(messages(&output).iter().filter(|message| leaving(message)).count(), 3);
    assert_eq!(machine.me.instance.incarnation, Incarnation(LIFE + 1));
    assert_eq!(machine.names(), ["n000"]);
    assert!(machine.manager.views().passive.is_empty());
    let reborn = |change: &Change| matches!(change, Change::Reborn { reason: CloseReason::Left });
    assert!(output.changes.iter().any(reborn));
    assert!(!output.persisted().is_empty(), "a crash must not bring it back");
    assert_eq!(output.replies().len(), 1);
}

#[test]
fn news_of_a_leave_goes_round_once_and_whoever_lost_a_neighbor_looks_for_another() {
    let mut machine = with_neighbors(config(), 4);
    machine.run(|manager, _| manager.reserve(intro(9, LIFE).into()));
    let output = hear(&mut machine, 2, disconnect(Parting::Leaving, intros([9])));
    let mut told: Vec<usize> = removals(&output).into_iter().map(|(to, ..)| to).collect();
    told.sort_unstable();
    assert_eq!(told, [1, 3, 4], "all but the one that says it");
    assert!(!is_neighbor(&machine, 2) && !knows(&machine, 2));
    assert_eq!(dialled(&output), [id(9)]);
    let output = hear(&mut machine, 3, removal(2, LIFE));
    assert!(output.actions.is_empty(), "it is known");
}

#[test]
fn stale_news_does_not_bring_a_removed_node_back_but_a_later_life_may_come() {
    let mut machine = with_neighbors(config(), 2);
    hear(&mut machine, 1, removal(7, LIFE));
    let tell = |machine: &mut Machine<HyParView>, life| {
        let (path, nodes) = (Bounded::from_first([id(1)]), Bounded::from_first([intro(7, life)]));
        let shuffle = Shuffle { number: 1, hops: 1, path, nodes };
        hear(machine, 1, HyParViewMessage::Shuffle(Box::new(shuffle)));
    };
    tell(&mut machine, LIFE);
    assert!(!knows(&machine, 7));
    tell(&mut machine, LIFE + 1);
    assert!(knows(&machine, 7));
    machine.pass(config().removal_memory + config().shuffle_interval);
    assert!(!machine.manager.removals.covers(instance(&spec(7), LIFE)), "it is forgotten in time");
}

#[test]
fn whoever_speaks_of_a_removed_node_is_told() {
    let mut machine = with_neighbors(config(), 2);
    hear(&mut machine, 1, removal(7, LIFE));
    let walk = crate::wire::Walk { node: intro(7, LIFE), hops: 6, joins: true };
    let output = hear(&mut machine, 2, HyParViewMessage::Walk(Box::new(walk)));
    assert_eq!(removals(&output), [(2, id(7), LIFE)]);
    assert!(dialled(&output).is_empty());
}

#[test]
fn a_new_neighbor_is_told_of_the_latest_removals() {
    let mut machine = with_neighbors(config(), 1);
    hear(&mut machine, 1, removal(7, LIFE));
    connect(&mut machine, 2);
    let output = hear(&mut machine, 2, request(Wish::Low, 0));
    assert_eq!(removals(&output), [(2, id(7), LIFE)]);
}

#[test]
fn who_is_removed_goes_on_alone_as_a_later_life() {
    let mut machine = with_neighbors(config(), 2);
    let output = hear(&mut machine, 1, removal(0, LIFE + 4));
    assert_eq!(machine.me.instance.incarnation, Incarnation(LIFE + 5));
    assert_eq!(machine.names(), ["n000"]);
    let told = |note: &&Notification| matches!(note, Notification::Removed { .. });
    assert_eq!(output.notifications().into_iter().filter(told).count(), 1);
    let mut machine = with_neighbors(config(), 2);
    hear(&mut machine, 1, removal(0, LIFE - 1));
    assert_eq!(machine.me.instance.incarnation, Incarnation(LIFE), "an earlier stay was meant");
    assert_eq!(machine.manager.views().active.len(), 2);
}

#[test]
fn a_removed_neighbor_is_told_and_dropped() {
    let mut machine = with_neighbors(config(), 2);
    let output = machine.command(3, Command::Remove(id(2)));
    let mut told = removals(&output);
    told.sort_unstable();
    assert_eq!(told, [(1, id(2), LIFE), (2, id(2), LIFE)]);
    assert_eq!(machine.names(), ["n000", "n001"]);
    assert!(released(&output).contains(&id(2)));
    let again = machine.command(4, Command::Remove(id(2)));
    assert_eq!((removals(&again).len(), again.replies().len()), (0, 1));
}

#[test]
fn no_more_removals_are_remembered_than_allowed() {
    let mut machine = with_neighbors(HyParViewConfig { max_removals: 3, ..config() }, 1);
    for number in 20..26 {
        hear(&mut machine, 1, removal(number, LIFE));
        machine.now += Duration::from_secs(1);
    }
    let covered = |number: &usize| machine.manager.removals.covers(instance(&spec(*number), LIFE));
    let remembered: Vec<usize> = (20..26).filter(covered).collect();
    assert_eq!(remembered, [23, 24, 25], "the oldest goes first");
    assert_eq!(machine.manager.counters().crowded_out, 3);
}

#[test]
fn whoever_knocks_is_let_in_or_told_why_not() {
    let config = HyParViewConfig { max_strangers: 2, ..config() };
    let mut machine = with_neighbors(config, 1);
    assert!(matches!(knock(&mut machine, 5, LIFE, 0), Change::Admit { .. }));
    hear(&mut machine, 1, removal(7, LIFE));
    let removed = Refusal::Removed(Incarnation(LIFE));
    assert_eq!(refusal(&knock(&mut machine, 7, LIFE, 0)), Some(removed));
    assert!(matches!(knock(&mut machine, 7, LIFE + 1, 0), Change::Admit { .. }));
    let twin = knock(&mut machine, 0, LIFE, 0);
    assert_eq!(refusal(&twin), Some(Refusal::DuplicateName));
    for number in [20, 21] {
        connect(&mut machine, number);
    }
    assert_eq!(refusal(&knock(&mut machine, 22, LIFE, 0)), Some(Refusal::TooMany));
    assert_eq!(machine.manager.counters().refused, 1);
    assert!(matches!(knock(&mut machine, 20, LIFE, 0), Change::Admit { .. }), "one of them");
    machine.command(1, Command::Leave);
    let past = Refusal::NotMember(Incarnation(LIFE));
    assert_eq!(refusal(&knock(&mut machine, 5, LIFE, LIFE)), Some(past), "it has left since");
    assert!(matches!(knock(&mut machine, 5, LIFE, 0), Change::Admit { .. }));
    machine.me.stopping = true;
    assert_eq!(refusal(&knock(&mut machine, 5, LIFE, 0)), Some(Refusal::Stopping));
}

#[test]
fn a_node_that_starts_again_has_its_place_again() {
    let mut mesh = joined(8, &config());
    for life in 1..4 {
        mesh.lose(3);
        mesh.cut.clear();
        let spec = spec(3);
        let me = me(&spec, LIFE + life);
        let manager = HyParView::new(&me, config(), &[9; 32], None).unwrap();
        mesh.machines[3] = Machine::new(me, manager);
        mesh.run(3, |manager, cx| manager.start(cx));
        mesh.join(3, 0);
        mesh.pass(Duration::from_secs(60));
        assert_at_rest(&mesh);
        assert_eq!(component(&mesh, 3).len(), 8);
        let incarnation = |machine: &Machine<HyParView>| {
            machine.manager.member(id(3)).map(|member| member.incarnation.0)
        };
        let lives: Vec<u64> = mesh.machines.iter().filter_map(incarnation).collect();
        assert!(lives.len() > 1 && lives.iter().all(|known| *known == LIFE + life), "{lives:?}");
    }
}

#[test]
fn an_update_of_the_members_removes_who_is_not_listed_and_knows_who_is() {
    let mut machine = with_neighbors(config(), 2);
    let list = [1, 8, 9].map(|number| NodeSpec::clone(&spec(number))).to_vec();
    let output = machine.command(1, Command::UpdateMembers(list));
    assert!(is_neighbor(&machine, 1) && !is_neighbor(&machine, 2));
    assert!(removals(&output).contains(&(1, id(2), LIFE)));
    let known = |number| knows(&machine, number) || dialled(&output).contains(&id(number));
    assert!(known(8) && known(9));
    let output = machine.command(2, Command::UpdateMembers(Vec::new()));
    assert!(messages(&output).is_empty() && is_neighbor(&machine, 1), "nothing is said by it");
}

#[test]
fn everybody_forgets_who_left() {
    let mut mesh = joined(20, &config());
    mesh.pass(Duration::from_secs(100));
    mesh.command(7, Command::Leave);
    mesh.settle();
    for (number, machine) in mesh.machines.iter().enumerate() {
        let views = machine.manager.views();
        assert!(!views.active.contains(&id(7)) && !views.passive.contains(&id(7)), "{number}");
    }
    mesh.pass(Duration::from_secs(100));
    assert_at_rest(&mesh);
    assert_eq!(component(&mesh, 0).len(), 19);
    mesh.join(7, 0);
    mesh.pass(Duration::from_secs(60));
    assert_eq!(component(&mesh, 0).len(), 20, "and it may join again");
}
