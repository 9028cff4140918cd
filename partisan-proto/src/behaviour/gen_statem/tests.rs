//! What golden traces and the model do not show: answers, the end, bounds, and looking in.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::*;
use crate::behaviour::testing::{ask_system, reports};
use crate::behaviour::{Report, ServerRef, StateBytes, Status, SystemRequest, envelope};
use crate::process::{ReplyTo, Solo};
use crate::time::{Duration, Instant};

/// Closed until it is opened; what is asked meanwhile is put off.
#[derive(Debug, Default)]
struct Shop {
    log: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum State {
    Closed,
    Open,
}

#[derive(Debug, Serialize, Deserialize)]
enum Tell {
    Open,
    CloseAt(Instant),
    Leave,
}

impl Protocol for Shop {
    type Call = u8;
    type Reply = u8;
    type Cast = Tell;
}

impl GenStatem for Shop {
    type State = State;
    type Content = ();
    type Timer = ();

    fn init(&mut self, _: &mut ActorContext<'_>) -> Initial<Self> {
        Initial::state(State::Closed)
    }

    fn handle_event(
        &mut self,
        state: &State,
        event: &Event<Self>,
        _: &mut ActorContext<'_>,
    ) -> Transition<Self> {
        match (state, event) {
            (State::Closed, Event::Call(..)) => Transition::keep().postpone(),
            (State::Open, Event::Call(caller, what)) => {
                self.log.push(what.to_string());
                match what {
                    // Both answers are on their way before it ends.
                    0 => Transition::stop(ExitReason::Shutdown).reply(*caller, 0),
                    what => Transition::keep().reply(*caller, *what),
                }
            }
            (_, Event::Cast(Tell::Open)) => Transition::next(State::Open),
            (_, Event::Cast(Tell::CloseAt(at))) => {
                Transition::keep().timeout(Timeout::State, *at, ())
            }
            (_, Event::Cast(Tell::Leave)) => Transition::stop(ExitReason::Normal),
            (_, Event::Timeout(Timeout::State, ())) => Transition::next(State::Closed),
            _ => Transition::keep(),
        }
    }

    fn enter(&mut self, _: &State, _: &State, _: &mut ActorContext<'_>) -> Entered<Self> {
        panic!("its states are not entered")
    }

    fn terminate(&mut self, state: &State, reason: &ExitReason, _: &mut ActorContext<'_>) {
        self.log.push(alloc::format!("{reason} in {state:?}"));
    }

    fn state(&self, state: &State) -> Option<Bytes> {
        postcard::to_allocvec(state).ok().map(Bytes::from)
    }

    fn replace_state(&mut self, state: &[u8]) -> Option<State> {
        postcard::from_bytes(state).ok()
    }
}

type Lone = Solo<StatemProcess<Shop>>;

fn closed() -> Lone {
    Solo::start(StatemProcess::new(Shop::default()))
}

fn ask(lone: &mut Lone, what: u8) -> ReplyTo {
    lone.request(ServerRef::<Shop>::write_call(&what).unwrap())
}

fn tell(lone: &mut Lone, what: &Tell) {
    lone.message(ServerRef::<Shop>::write_cast(what).unwrap());
    lone.run();
}

fn answer(lone: &mut Lone, request: ReplyTo) -> Option<u8> {
    lone.take_reply(request).map(|reply| envelope::read(&reply.unwrap()).unwrap())
}

#[test]
fn whose_call_is_put_off_is_answered_once_the_state_allows() {
    let mut lone = closed();
    let (first, second) = (ask(&mut lone, 7), ask(&mut lone, 8));
    lone.run();
    assert_eq!(answer(&mut lone, first), None);
    tell(&mut lone, &Tell::Open);
    assert_eq!((answer(&mut lone, first), answer(&mut lone, second)), (Some(7), Some(8)));
    assert_eq!(lone.actor().engine().machine().log, ["7", "8"]);
}

#[test]
fn at_its_end_it_answers_whom_it_says_and_nobody_else() {
    let mut lone = closed();
    tell(&mut lone, &Tell::Open);
    let (last, never) = (ask(&mut lone, 0), ask(&mut lone, 1));
    lone.run();
    assert_eq!((answer(&mut lone, last), answer(&mut lone, never)), (Some(0), None));
    assert_eq!(lone.actor().engine().machine().log, ["0", "shutdown in Open"]);
    let mut lone = closed();
    let put_off = ask(&mut lone, 7);
    tell(&mut lone, &Tell::Leave);
    assert_eq!(answer(&mut lone, put_off), None, "its node answers with the reason");
    assert_eq!(lone.ended(), Some(&ExitReason::Normal));
}

#[test]
fn what_is_put_off_has_a_bound() {
    let mut lone = closed();
    for _ in 0..DEFAULT_POSTPONED {
        ask(&mut lone, 7);
    }
    lone.run();
    assert_eq!(lone.ended(), None);
    ask(&mut lone, 7);
    lone.run();
    assert_eq!(lone.ended(), Some(&ExitReason::SystemLimit));
}

#[test]
fn it_wakes_exactly_when_its_first_timeout_is_over() {
    let mut lone = closed();
    tell(&mut lone, &Tell::Open);
    assert_eq!(lone.next_timer(), None);
    let at = Instant::from_millis(50);
    tell(&mut lone, &Tell::CloseAt(at));
    assert_eq!(lone.next_timer(), Some(at));
    lone.advance(Duration::from_millis(50));
    assert_eq!(lone.actor().engine().current(), Some(&State::Closed));
    assert_eq!(lone.next_timer(), None);
}

#[test]
fn one_can_look_into_it_and_put_it_into_a_state() {
    let mut lone = closed();
    ask(&mut lone, 7);
    tell(&mut lone, &Tell::CloseAt(Instant::from_secs(9)));
    let status = ask_system::<Status>(&mut lone, &SystemRequest::Status).state;
    for part in ["state: Some(Closed)", "postponed: [Call(", "timeouts: {State: ()}"] {
        assert!(status.contains(part), "{status}");
    }
    let open = StateBytes::new(&postcard::to_allocvec(&State::Open).unwrap()).unwrap();
    assert!(ask_system::<bool>(&mut lone, &SystemRequest::ReplaceState(open.clone())));
    assert_eq!(ask_system::<Option<StateBytes>>(&mut lone, &SystemRequest::GetState), Some(open));
    let bad = StateBytes::new(&[9]).unwrap();
    assert!(!ask_system::<bool>(&mut lone, &SystemRequest::ReplaceState(bad)));
    assert_eq!(lone.actor().engine().current(), Some(&State::Open));
}

#[test]
fn one_that_is_under_way_goes_on_without_init() {
    let initial = Initial::state(State::Open);
    let mut lone = Solo::start(StatemProcess::enter_loop(Shop::default(), initial));
    let request = ask(&mut lone, 7);
    lone.run();
    assert_eq!(answer(&mut lone, request), Some(7));
}

#[test]
fn how_much_is_put_off_is_as_it_is_made_and_one_more_ends_it() {
    let mut lone = Solo::start(StatemProcess::new(Shop::default()).max_postponed(2));
    for _ in 0..2 {
        ask(&mut lone, 7);
    }
    lone.run();
    assert_eq!((reports(&mut lone), lone.ended()), (Vec::new(), None));
    ask(&mut lone, 7);
    lone.run();
    assert_eq!(lone.ended(), Some(&ExitReason::SystemLimit));
    let reports = reports(&mut lone);
    let [Report::Terminating { behaviour, state, .. }] = &reports[..] else {
        panic!("{reports:?}")
    };
    assert_eq!(*behaviour, "gen_statem");
    assert!(state.contains("postponed: [Call("), "{state}");
}

/// Two ways to be a machine: the one becomes the other, and goes back to what it was.
#[derive(Debug)]
enum Turncoat {
    Shy(Vec<String>),
    Bold(Vec<String>, alloc::boxed::Box<Self>),
}

impl Protocol for Turncoat {
    type Call = ();
    type Reply = ();
    type Cast = u8;
}

impl GenStatem for Turncoat {
    type State = u8;
    type Content = ();
    type Timer = ();

    const STATE_ENTER: bool = true;

    fn init(&mut self, _: &mut ActorContext<'_>) -> Initial<Self> {
        Initial::state(0)
    }

    fn enter(&mut self, _: &u8, state: &u8, _: &mut ActorContext<'_>) -> Entered<Self> {
        if let Self::Bold(log, _) = self {
            log.push(alloc::format!("enters {state}"));
        }
        Entered::keep()
    }

    fn handle_event(
        &mut self,
        state: &u8,
        event: &Event<Self>,
        _: &mut ActorContext<'_>,
    ) -> Transition<Self> {
        let Event::Cast(what) = event else { return Transition::keep() };
        match core::mem::replace(self, Self::Shy(Vec::new())) {
            Self::Shy(log) if *what == 0 => {
                *self = Self::Bold(Vec::new(), Self::Shy(log).into());
                Transition::next(state + 1)
            }
            Self::Bold(bold, mut before) if *what == 0 => {
                if let Self::Shy(log) = &mut *before {
                    log.extend(bold);
                }
                *self = *before;
                Transition::keep()
            }
            Self::Bold(mut log, before) => {
                log.push(alloc::format!("takes {what}"));
                *self = Self::Bold(log, before);
                Transition::keep()
            }
            shy @ Self::Shy(_) => {
                *self = shy;
                Transition::keep().postpone()
            }
        }
    }
}

#[test]
fn a_machine_may_become_another_and_go_back_and_what_was_put_off_comes_to_that() {
    let mut lone = Solo::start(StatemProcess::new(Turncoat::Shy(Vec::new())));
    for what in [7, 0, 8, 0] {
        lone.message(ServerRef::<Turncoat>::write_cast(&what).unwrap());
    }
    lone.run();
    match lone.actor().engine().machine() {
        Turncoat::Shy(log) => assert_eq!(log[..], ["enters 1", "takes 7", "takes 8"]),
        bold @ Turncoat::Bold(..) => panic!("{bold:?}"),
    }
}
