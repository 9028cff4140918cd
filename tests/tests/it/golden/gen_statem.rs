//! The traces of `gen_statem`.

use partisan_fuzz::statem::machine::{
    Deed, Delay, Entry, Kind, Machine, Manners, Move, Note, State,
};
use partisan_proto::Duration;
use partisan_proto::behaviour::{ServerRef, StatemProcess};
use partisan_proto::process::Solo;

use super::term::Term;
use super::{DoesNotCompile, Golden, golden, part};

pub(super) use State::{S, T, U};

/// A state machine whose states are entered, as the recorded one.
pub(super) type Entering = Machine<true>;

/// What happens to it.
pub(super) struct Course {
    machine: Solo<StatemProcess<Entering>>,
}

/// Long enough for every timeout here.
const LONG: Duration = Duration::from_secs(1);

impl Course {
    pub(super) fn new(manners: Manners) -> Self {
        Self { machine: Solo::start(StatemProcess::new(Machine::new(manners))) }
    }

    /// These casts come at once.
    pub(super) fn casts(mut self, notes: impl IntoIterator<Item = Note>) -> Self {
        for note in notes {
            self.machine.message(ServerRef::<Entering>::write_cast(&note).unwrap());
        }
        self
    }

    fn info(mut self, text: &'static str) -> Self {
        self.machine.message(text);
        self
    }

    pub(super) fn passes(mut self, millis: u64) -> Self {
        self.machine.advance(Duration::from_millis(millis));
        self
    }

    /// All that comes of it, as the recorder printed it: `{State, Log}`.
    pub(super) fn trace(mut self) -> String {
        self.machine.advance(LONG);
        let engine = self.machine.actor().engine();
        let state = engine.current().map(|state| lower(*state)).unwrap_or_default();
        format!("{{{state},[{}]}}", self.log().join(","))
    }

    fn log(&self) -> Vec<String> {
        let log = self.machine.actor().engine().machine().log().iter();
        let line = |(state, what, label): &(State, &str, String)| match *what {
            "enter" => format!("{{enter,{},{}}}", label.to_lowercase(), lower(*state)),
            what => format!("{{{},{what},{label}}}", lower(*state)),
        };
        log.map(line).collect()
    }
}

fn lower(state: State) -> String {
    format!("{state:?}").to_lowercase()
}

pub(super) fn course<const N: usize>(notes: [Note; N]) -> Course {
    Course::new(Manners::default()).casts(notes)
}

/// An event on which it does this in its first state.
pub(super) fn does(label: &str, deeds: impl IntoIterator<Item = Deed>) -> Note {
    Note::new(label).when(S, Move::Keep, deeds)
}

/// An event that leads from the first state elsewhere.
pub(super) fn goes(label: &str, to: State, deeds: impl IntoIterator<Item = Deed>) -> Note {
    Note::new(label).when(S, Move::Next(to), deeds)
}

/// An event that is put off in the first state.
pub(super) fn put_off(label: &str) -> Note {
    does(label, [Deed::Postpone(true)])
}

pub(super) fn plain(label: &str) -> Note {
    Note::new(label)
}

pub(super) fn insert(label: &str) -> Deed {
    Deed::Insert(plain(label))
}

pub(super) fn start(kind: Kind, millis: u64, label: &str) -> Deed {
    Deed::Start(kind, Delay::After(millis), plain(label))
}

impl Golden for Course {
    fn meets(self, recorded: &str) {
        assert_eq!(self.trace(), Term::first_of(recorded).to_string());
    }
}

/// One that ends.
struct Ends(Course);

impl Golden for Ends {
    fn meets(mut self, recorded: &str) {
        self.0.machine.advance(LONG);
        let mut log = self.0.log();
        let terminate = log.pop().unwrap_or_default();
        // The recorded one does not write down what it does while it ends.
        let entering = log.pop().unwrap_or_default();
        assert_eq!(entering, "{enter,s,t}");
        let Some(reason) = self.0.machine.ended() else { panic!("it goes on") };
        assert_eq!(terminate, format!("{{t,terminate,{reason}}}"));
        let ended = format!("{{{reason},t,[{}]}}", log.join(","));
        assert_eq!(ended, part(recorded, "terminate").to_string());
        assert_eq!(reason.to_string(), part(recorded, "exit").to_string());
    }
}

golden! {
    "gen_statem.txt",
    next_event_order_first_in_list_first_before_queued_mailbox =>
        "next_event order: first in list first; before queued mailbox",
        course([does("a", [insert("n1"), insert("n2")]), plain("b")]);
    next_event_and_state_change_next_event_before_postponed =>
        "next_event + state change: next_event before postponed",
        course([put_off("p1"), goes("go", T, [insert("ne")]), plain("late")]);
    postponed_not_retried_on_keep_repeat_same_next_state =>
        "postponed not retried on keep/repeat/same next_state",
        course([put_off("p1"), again("r"), goes("n", S, []), plain("k")]);
    event_timeout_0_cancelled_by_next_event => "event timeout 0 cancelled by next_event",
        course([does("a", [start(Kind::Event, 0, "never"), insert("ne")]), plain("late")]);
    event_timeout_20_cancelled_by_any_event_info =>
        "event timeout 20 cancelled by any event (info)",
        course([does("a", [start(Kind::Event, 20, "never")])]).info("i");
    state_timeout_survives_keep_repeat_same_next =>
        "state_timeout survives keep/repeat/same next",
        course([does("a", [start(Kind::State, 20, "st")]), again("r"), goes("n", S, [])]);
    state_timeout_set_while_changing_state_belongs_to_new_state =>
        "state_timeout set while changing state belongs to new state",
        course([goes("n", T, [start(Kind::State, 20, "st")])]);
    restart_same_generic_timeout_replaces => "restart same generic timeout replaces",
        course([does("a", [start(Kind::G, 20, "g1")]), does("b", [start(Kind::G, 40, "g2")])]);
    cancel_generic => "cancel generic",
        course([does("a", [start(Kind::G, 20, "g1")]), does("b", [Deed::Cancel(Kind::G)])]);
    update_running_generic_changes_content => "update running generic changes content",
        course([
            does("a", [start(Kind::G, 20, "g1")]),
            does("b", [Deed::Update(Kind::G, plain("g2"))]),
        ]);
    several_zero_timeouts_in_list_order => "several zero timeouts in list order",
        course([
            does("a", [
                start(Kind::X, 0, "x"),
                start(Kind::State, 0, "st"),
                start(Kind::Y, 0, "y"),
            ]),
            plain("late"),
        ]);
    zero_state_timeout_cancelled_by_state_change_from_next_event =>
        "zero state_timeout cancelled by state change from next_event",
        course([
            does("a", [start(Kind::State, 0, "never"), Deed::Insert(goes("ne", T, []))]),
            plain("late"),
        ]);
    enter_actions_state_timeout_from_enter_call =>
        "enter actions: state_timeout from enter call",
        entering(T, false, [start(Kind::State, 10, "from_enter")])
            .casts([goes("c", T, [start(Kind::State, 20, "from_event")])]);
    init_actions_next_event_before_mailbox_and_after_initial_enter =>
        "init actions next_event before mailbox and after initial enter",
        Course::new(Manners { init: vec![insert("from_init")], ..Manners::default() })
            .casts([plain("m")]);
    timeout_event_can_be_postponed_and_is_retried_with_its_content =>
        "timeout event can be postponed and is retried with its content",
        course([does("a", [Deed::Start(Kind::G, Delay::After(20), put_off("gt"))])])
            .passes(30)
            .casts([goes("c", T, []), plain("late")]);
    state_change_inside_retry_remaining_retried_after_newly_postponed =>
        "state change inside retry: remaining retried after newly postponed",
        course([
            put_off("p1").when(T, Move::Next(U), []),
            put_off("p2"),
            goes("c", T, []),
            plain("late"),
        ]);
    abs_timeout_in_past_fires => "abs timeout in past fires",
        course([]).passes(10).casts([
            does("a", [Deed::Start(Kind::G, Delay::At(5), plain("ab"))]),
            plain("late"),
        ]);
    start_then_cancel_in_the_same_list_last_wins_cancel =>
        "start then cancel in the same list: last wins (cancel)",
        course([does("a", [start(Kind::G, 20, "never"), Deed::Cancel(Kind::G)])]);
    shorthand_integer_is_event_timeout_with_content_time =>
        "shorthand integer = event timeout with content = time",
        course([does("a", [start(Kind::Event, 20, "20")])]);
    err_enter_call_next_event => "ERR enter call next_event",
        DoesNotCompile("bad_state_enter_action_from_state_function");
    err_enter_call_stop => "ERR enter call stop",
        Ends(entering(T, true, []).casts([goes("c", T, [])]));
    err_bad_return => "ERR bad return",
        DoesNotCompile("bad_return_from_state_function");
}

/// An event that enters the first state again.
pub(super) fn again(label: &str) -> Note {
    Note::new(label).when(S, Move::Repeat, [])
}

pub(super) fn entering(state: State, stops: bool, deeds: impl IntoIterator<Item = Deed>) -> Course {
    let entry = Entry { repeats: 0, stops, deeds: deeds.into_iter().collect() };
    Course::new(Manners { enter: [(state, entry)].into(), ..Manners::default() })
}
