//! State machines: the engine beside a naive model of its rules, and a machine that does what its
//! events tell it.

pub mod machine;
mod model;

use arbitrary::{Arbitrary, Unstructured};
use partisan_proto::behaviour::{ServerRef, StatemProcess};
use partisan_proto::process::Solo;
use partisan_proto::{Duration, ExitReason};

use self::machine::{Machine, Manners, Note};
use self::model::Model;

/// What happens to the machine from outside.
#[derive(Clone, Debug, Arbitrary)]
enum Step {
    Cast(Note),
    Call(Note),
    Info,
    /// Takes all that waits.
    Run,
    /// Lets so many milliseconds pass.
    Advance(u8),
}

#[derive(Clone, Debug, Arbitrary)]
struct Script {
    enters: bool,
    manners: Manners,
    steps: Vec<Step>,
}

/// The engine does what the model does, whatever the machine is told to do.
pub fn statem(data: &[u8]) {
    let Ok(script) = Script::arbitrary(&mut Unstructured::new(data)) else {
        return;
    };
    match script.enters {
        true => compare::<true>(script),
        false => compare::<false>(script),
    }
}

fn compare<const ENTER: bool>(Script { manners, steps, .. }: Script) {
    let machine = Machine::<ENTER>::new(manners.clone());
    let mut engine = Solo::start(StatemProcess::new(machine));
    let mut model = Model::new(ENTER, manners);
    let mut calls = Vec::new();
    for step in steps.into_iter().chain([Step::Advance(20)]) {
        let write = "a note serialises";
        match step {
            Step::Cast(note) => {
                engine.message(ServerRef::<Machine<ENTER>>::write_cast(&note).expect(write));
                model.put("cast", note, None);
            }
            Step::Call(note) => {
                let call = ServerRef::<Machine<ENTER>>::write_call(&note).expect(write);
                model.put("call", note, Some(calls.len()));
                calls.push(engine.request(call));
            }
            Step::Info => {
                engine.message("i");
                model.put("info", Note::new("i"), None);
            }
            Step::Run => {
                engine.run();
                model.advance(0);
            }
            Step::Advance(span) => {
                engine.advance(Duration::from_millis(span.into()));
                model.advance(span.into());
            }
        }
    }
    assert_eq!(engine.actor().engine().machine().log(), model.log);
    assert_eq!(engine.ended(), model.ended.then_some(&ExitReason::Normal));
    for (number, call) in calls.into_iter().enumerate() {
        let reply = engine.take_reply(call).map(|reply| reply.expect("it is understood"));
        assert_eq!(reply.as_deref(), model.replies.get(&number).map(std::slice::from_ref));
    }
}
