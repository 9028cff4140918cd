//! Becoming neighbours and ceasing to be: requests by priority, crossings, disconnections.

use super::*;

fn seek(machine: &mut Machine<HyParView>, number: usize, purpose: Purpose) -> Output {
    let known = intro(number, LIFE).into();
    machine.run(|manager, cx| manager.seek(cx, known, purpose))
}

/// Asks a node that is connected.
fn ask(machine: &mut Machine<HyParView>, number: usize, purpose: Purpose) -> Output {
    connect(machine, number);
    seek(machine, number, purpose)
}

fn wishes(output: &Output) -> Vec<Wish> {
    let wish = |(_, message): (usize, &HyParViewMessage)| match message {
        HyParViewMessage::Neighbor(request) => Some(request.wish),
        _ => None,
    };
    messages(output).into_iter().filter_map(wish).collect()
}

#[test]
fn low_priority_asks_in_vain_where_there_is_no_room() {
    let mut machine = with_neighbors(sized(2), 2);
    connect(&mut machine, 9);
    let output = hear(&mut machine, 9, request(Wish::Low, 0));
    let [HyParViewMessage::Decline(decline)] = told(&output, 9)[..] else { panic!() };
    assert_eq!(decline.why, Declined::Full);
    assert!(!is_neighbor(&machine, 9) && messages(&output).len() == 1, "nobody goes for it");
}

#[test]
fn high_priority_is_never_declined() {
    let mut machine = with_neighbors(sized(2), 2);
    connect(&mut machine, 9);
    let output = hear(&mut machine, 9, request(Wish::High, 0));
    assert!(matches!(told(&output, 9)[..], [HyParViewMessage::Accept(_)]));
    assert!(is_neighbor(&machine, 9));
    let views = machine.manager.views();
    assert_eq!(views.active.len(), 2);
    let gone = [1, 2].into_iter().find(|number| !is_neighbor(&machine, *number)).unwrap();
    let [HyParViewMessage::Disconnect(end)] = told(&output, gone)[..] else { panic!() };
    assert_eq!((end.why, end.hints[0].spec.id()), (Parting::Evicted, id(9)));
    assert!(knows(&machine, gone), "it is in reserve");
    assert_eq!(released(&output), [], "what is on its way still arrives");
    let output = machine.pass(config().draining);
    assert_eq!(released(&output), [id(gone)]);
}

#[test]
fn priority_is_high_for_who_has_no_neighbor() {
    let mut machine = newborn(0, config());
    machine.start();
    assert_eq!(wishes(&ask(&mut machine, 1, Purpose::Fill)), [Wish::High]);
    hear(&mut machine, 1, accept(0));
    assert!(is_neighbor(&machine, 1));
    assert_eq!(wishes(&ask(&mut machine, 2, Purpose::Fill)), [Wish::Low]);
}

#[test]
fn a_place_is_kept_for_whoever_was_asked_to_fill_it() {
    let mut machine = with_neighbors(sized(2), 1);
    ask(&mut machine, 2, Purpose::Fill);
    connect(&mut machine, 3);
    let output = hear(&mut machine, 3, request(Wish::Low, 0));
    assert!(matches!(told(&output, 3)[..], [HyParViewMessage::Decline(_)]));
    hear(&mut machine, 2, accept(0));
    assert!(is_neighbor(&machine, 2));
}

#[test]
fn two_requests_that_cross_make_one_link() {
    let mut machine = with_neighbors(config(), 1);
    ask(&mut machine, 2, Purpose::Fill);
    let output = hear(&mut machine, 2, request(Wish::Low, 0));
    assert!(matches!(told(&output, 2)[..], [HyParViewMessage::Accept(_)]));
    assert!(is_neighbor(&machine, 2));
    let output = hear(&mut machine, 2, accept(0));
    assert!(output.actions.is_empty() && output.overlay.is_empty(), "it is a neighbour already");
    assert!(is_neighbor(&machine, 2));
}

/// What one of two says to the other, whatever the other says meanwhile.
#[derive(Clone, Copy, Debug)]
enum Word {
    Ask,
    Part,
}

/// Two full-blown nodes say these to each other at once, each twice: in the end they agree.
#[test]
fn whatever_crosses_whatever_both_sides_agree_in_the_end() {
    for code in 0..16_u32 {
        let word = |place: u32| if code >> place & 1 == 0 { Word::Ask } else { Word::Part };
        for neighbors_before in [false, true] {
            let mut mesh = strangers(2, &config());
            mesh.run(0, |manager, cx| manager.seek(cx, intro(1, LIFE).into(), Purpose::Fill));
            if neighbors_before {
                mesh.settle();
            }
            for place in 0..4 {
                let (node, other) = (place as usize % 2, 1 - place as usize % 2);
                mesh.run(node, |manager, cx| match word(place) {
                    Word::Ask => manager.seek(cx, intro(other, LIFE).into(), Purpose::Fill),
                    Word::Part if manager.peers.is_active(id(other)) => {
                        manager.part(cx, id(other), Parting::Evicted, Vec::new());
                    }
                    Word::Part => {}
                });
                if place == 1 {
                    mesh.step();
                }
            }
            mesh.settle();
            let both = [neighbors_of(&mesh, 0), neighbors_of(&mesh, 1)].map(|one| one.len());
            assert_eq!(both[0], both[1], "{code:04b} {neighbors_before}");
            assert_sound(&mesh);
            mesh.pass(Duration::from_secs(60));
            assert_at_rest(&mesh);
        }
    }
}

#[test]
fn a_request_that_crossed_a_disconnection_is_void() {
    let mut machine = with_neighbors(sized(1), 1);
    connect(&mut machine, 2);
    hear(&mut machine, 2, request(Wish::High, 0));
    assert!(!is_neighbor(&machine, 1));
    let output = hear(&mut machine, 1, request(Wish::High, 0));
    assert!(messages(&output).is_empty() && !is_neighbor(&machine, 1), "it had not seen it");
    hear(&mut machine, 1, request(Wish::High, 1));
    assert!(is_neighbor(&machine, 1), "now it has");
}

#[test]
fn an_acceptance_of_what_was_given_up_is_void() {
    let mut machine = with_neighbors(config(), 1);
    ask(&mut machine, 2, Purpose::Fill);
    machine.run(|manager, cx| manager.part(cx, id(2), Parting::Withdrawn, Vec::new()));
    hear(&mut machine, 2, accept(0));
    assert!(!is_neighbor(&machine, 2));
    ask(&mut machine, 3, Purpose::Fill);
    let output = machine.pass(config().answer_timeout);
    assert!(released(&output).contains(&id(3)), "who does not answer is let go");
    let output = hear(&mut machine, 3, accept(0));
    assert!(output.actions.is_empty() && !is_neighbor(&machine, 3));
}

#[test]
fn an_acceptance_for_which_there_is_no_room_any_more_is_withdrawn() {
    let mut machine = with_neighbors(sized(2), 1);
    ask(&mut machine, 2, Purpose::Fill);
    // A node that was asked asks itself: its place is not the one that is kept for another.
    ask(&mut machine, 3, Purpose::Place);
    hear(&mut machine, 3, accept(0));
    assert_eq!(machine.manager.views().active.len(), 1, "it took a neighbour's place");
    let output = hear(&mut machine, 2, accept(0));
    assert!(is_neighbor(&machine, 2) && is_neighbor(&machine, 3), "{output:?}");
}

#[test]
fn whoever_is_disconnected_keeps_the_other_in_reserve_and_asks_whom_it_named() {
    let mut machine = with_neighbors(config(), 3);
    let output = hear(&mut machine, 2, disconnect(Parting::Evicted, intros([9])));
    assert!(!is_neighbor(&machine, 2) && knows(&machine, 2));
    assert_eq!(dialled(&output)[0], id(9), "the one named is asked first");
    assert_eq!(released(&output), [], "the other side ends the session");
    let output = machine.pass(2 * config().draining);
    assert!(released(&output).contains(&id(2)), "unless it does not");
}

#[test]
fn a_disconnection_by_a_stranger_changes_nothing() {
    let mut machine = with_neighbors(config(), 1);
    connect(&mut machine, 2);
    let output = hear(&mut machine, 2, disconnect(Parting::Evicted, intros([9])));
    assert!(output.overlay.is_empty() && messages(&output).is_empty());
    assert_eq!(machine.manager.views().active, [id(1)]);
}

#[test]
fn messages_of_another_life_are_not_heard() {
    let mut machine = with_neighbors(config(), 1);
    let earlier = instance(&spec(1), LIFE - 1);
    let message = ControlMessage::HyParView(disconnect(Parting::Evicted, Bounded::default()));
    let output = machine.receive(earlier, message);
    assert!(output.actions.is_empty() && is_neighbor(&machine, 1));
}

#[test]
fn what_is_of_another_manager_is_given_back() {
    let mut machine = with_neighbors(config(), 1);
    let foreign = ControlMessage::Gossip(crate::wire::Gossip::Digest(Default::default()));
    let from = instance(&spec(1), LIFE);
    machine.run(|manager, cx| assert!(manager.receive(cx, from, foreign).is_err()));
}

#[test]
fn a_session_with_a_stranger_does_not_last() {
    let mut machine = with_neighbors(config(), 1);
    connect(&mut machine, 2);
    let output = machine.pass(config().answer_timeout);
    assert!(released(&output).contains(&id(2)));
}
