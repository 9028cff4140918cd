//! Rules of `gen_statem` beyond the recorded traces, in the same notation.

use partisan_fuzz::statem::machine::{Deed, Delay, Kind, Manners, Move, Note, State};

use super::gen_statem::{
    Course, S, T, U, again, course, does, entering, goes, insert, plain, put_off, start,
};

/// Asserts that a course leads to a state with these events, after the first `{enter,s,s}`.
fn leads(course: Course, to: &str, events: &[&str]) {
    let events: Vec<String> = events.iter().map(|event| format!(",{event}")).collect();
    assert_eq!(course.trace(), format!("{{{to},[{{enter,s,s}}{}]}}", events.concat()));
}

#[test]
fn what_is_put_off_comes_again_after_a_change_oldest_first_before_the_mailbox() {
    let course = course([put_off("p1"), put_off("p2"), goes("go", T, []), plain("late")]);
    let events = ["{s,cast,p1}", "{s,cast,p2}", "{s,cast,go}", "{enter,s,t}"];
    let again = ["{t,cast,p1}", "{t,cast,p2}", "{t,cast,late}"];
    leads(course, "t", &[&events[..], &again].concat());
}

#[test]
fn an_event_that_changes_the_state_may_be_put_off_and_is_the_last_of_those() {
    let course = course([put_off("p1"), goes("p2", T, [Deed::Postpone(true)]), plain("late")]);
    let events = ["{s,cast,p1}", "{s,cast,p2}", "{enter,s,t}"];
    leads(course, "t", &[&events[..], &["{t,cast,p1}", "{t,cast,p2}", "{t,cast,late}"]].concat());
}

#[test]
fn what_is_put_off_again_keeps_its_place() {
    let stays = |label| put_off(label).when(T, Move::Keep, [Deed::Postpone(true)]);
    let to_u = Note::new("on").when(T, Move::Next(U), []);
    let course = course([stays("p1"), stays("p2"), goes("go", T, []), to_u]);
    let events = ["{s,cast,p1}", "{s,cast,p2}", "{s,cast,go}", "{enter,s,t}", "{t,cast,p1}"];
    let more = ["{t,cast,p2}", "{t,cast,on}", "{enter,t,u}", "{u,cast,p1}", "{u,cast,p2}"];
    leads(course, "u", &[&events[..], &more].concat());
}

#[test]
fn the_last_word_on_putting_off_counts() {
    let undecided = does("p", [Deed::Postpone(true), Deed::Postpone(false)]);
    leads(
        course([undecided, goes("go", T, [])]),
        "t",
        &["{s,cast,p}", "{s,cast,go}", "{enter,s,t}"],
    );
}

#[test]
fn a_zero_timeout_comes_after_the_queue_and_before_the_mailbox() {
    let course = course([does("a", [start(Kind::G, 0, "gz"), insert("ne")]), plain("late")]);
    let events = ["{s,cast,a}", "{s,internal,ne}", "{s,{timeout,g},gz}", "{s,cast,late}"];
    leads(course, "s", &events);
}

#[test]
fn an_event_timeout_of_zero_comes_before_the_mailbox() {
    let course = course([does("a", [start(Kind::Event, 0, "ez")]), plain("late")]);
    leads(course, "s", &["{s,cast,a}", "{s,timeout,ez}", "{s,cast,late}"]);
}

#[test]
fn a_zero_timeout_that_another_sets_comes_after_those_there_are() {
    let x = does("x", [start(Kind::G, 0, "g")]);
    let both = [Deed::Start(Kind::X, Delay::After(0), x), start(Kind::Y, 0, "y")];
    let events = ["{s,cast,a}", "{s,{timeout,x},x}", "{s,{timeout,y},y}", "{s,{timeout,g},g}"];
    leads(course([does("a", both)]), "s", &events);
}

#[test]
fn a_state_timeout_is_over_with_a_change_and_a_generic_one_is_not() {
    let both = [start(Kind::State, 20, "never"), start(Kind::G, 20, "g")];
    let events = ["{s,cast,a}", "{s,cast,go}", "{enter,s,t}", "{t,{timeout,g},g}"];
    leads(course([does("a", both), goes("go", T, [])]), "t", &events);
}

#[test]
fn an_update_of_what_does_not_run_is_over_at_once() {
    let course = course([does("a", [Deed::Update(Kind::G, plain("g"))]), plain("late")]);
    leads(course, "s", &["{s,cast,a}", "{s,{timeout,g},g}", "{s,cast,late}"]);
}

#[test]
fn a_zero_timeout_started_anew_with_a_span_waits_for_it() {
    let anew = does("ne", [start(Kind::G, 20, "g")]);
    let course =
        course([does("a", [start(Kind::G, 0, "never"), Deed::Insert(anew)]), plain("late")]);
    leads(course, "s", &["{s,cast,a}", "{s,internal,ne}", "{s,cast,late}", "{s,{timeout,g},g}"]);
}

#[test]
fn a_timeout_that_waits_in_the_mailbox_is_not_seen_once_it_is_over() {
    // Both are due while the machine does not look; the first to be seen ends the second.
    let first = does("x", [Deed::Cancel(Kind::Y)]);
    let both = [Deed::Start(Kind::X, Delay::After(5), first), start(Kind::Y, 5, "never")];
    leads(course([does("a", both)]).passes(5), "s", &["{s,cast,a}", "{s,{timeout,x},x}"]);
}

#[test]
fn the_state_that_is_entered_has_the_last_word_on_timeouts_but_not_on_others() {
    let enters = entering(T, false, [Deed::Cancel(Kind::G), start(Kind::X, 5, "x")]);
    let says = [start(Kind::G, 5, "never"), start(Kind::Y, 3, "y")];
    let events = ["{s,cast,c}", "{enter,s,t}", "{t,{timeout,y},y}", "{t,{timeout,x},x}"];
    leads(enters.casts([goes("c", T, says)]), "t", &events);
}

#[test]
fn a_repeated_entry_enters_again_and_what_was_put_off_waits() {
    let entry = partisan_fuzz::statem::machine::Entry { repeats: 2, stops: false, deeds: vec![] };
    let manners = Manners { enter: [(T, entry)].into(), ..Manners::default() };
    let course = Course::new(manners).casts([goes("c", T, []), again("r")]);
    leads(course, "t", &["{s,cast,c}", "{enter,s,t}", "{enter,s,t}", "{enter,s,t}", "{t,cast,r}"]);
}

#[test]
fn the_engine_does_what_the_model_does() {
    let mut dice = 0x9E37_79B9_7F4A_7C15_u64;
    let mut data = [0; 512];
    for case in 0..100_000_usize {
        for byte in &mut data {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            *byte = (dice >> 24) as u8;
        }
        partisan_fuzz::statem::statem(&data[..64 + case % 448]);
    }
}

#[test]
fn states_are_compared_by_what_they_are() {
    let same: State = S;
    leads(course([put_off("p"), goes("n", same, [])]), "s", &["{s,cast,p}", "{s,cast,n}"]);
}
