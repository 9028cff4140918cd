//! Experiments that depend on no other, several at once, and how far they have come.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::findings::Findings;

/// Sees experiments go on, from several threads.
pub trait Watcher: Send + Sync {
    /// An experiment begins: its number, of how many, and its name.
    fn begins(&self, number: usize, of: usize, name: &str);
    /// It has come so far, from 0 to 1.
    fn reaches(&self, number: usize, share: f64);
    /// It is over.
    fn ends(&self, number: usize);
}

/// The one who watches an experiment, if anybody does.
#[derive(Clone, Default)]
pub(super) struct Watch(Option<(Arc<dyn Watcher>, usize)>);

impl Watch {
    /// Tells that the experiment has come so far, from 0 to 1.
    pub(super) fn tell(&self, share: f64) {
        if let Some((watcher, number)) = &self.0 {
            watcher.reaches(*number, share.clamp(0.0, 1.0));
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").field(&self.0.as_ref().map(|(_, number)| number)).finish()
    }
}

type Work = Box<dyn FnOnce(&mut Findings) + Send>;

/// An experiment that depends on no other.
pub(super) struct Experiment {
    name: String,
    work: Work,
}

impl Experiment {
    /// An experiment of this name, which writes down what it finds.
    pub(super) fn new(name: String, work: impl FnOnce(&mut Findings) + Send + 'static) -> Self {
        Self { name, work: Box::new(work) }
    }
}

/// Runs all, `jobs` at once, and puts together what they found in the order in which they stand.
pub(super) fn run(all: Vec<Experiment>, jobs: usize, watcher: &Arc<dyn Watcher>) -> Findings {
    let count = all.len();
    let mut results: Vec<Mutex<Option<Findings>>> = Vec::new();
    results.resize_with(count, Mutex::default);
    let waiting: Vec<_> = all.into_iter().map(|one| Mutex::new(Some(one))).collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..jobs.min(count) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Relaxed);
                    let Some(place) = waiting.get(number) else {
                        return;
                    };
                    let Some(Experiment { name, work }) = lock(place).take() else {
                        return;
                    };
                    watcher.begins(number, count, &name);
                    let watch = Watch(Some((watcher.clone(), number)));
                    let mut findings = Findings { watch, ..Findings::default() };
                    work(&mut findings);
                    watcher.ends(number);
                    *lock(&results[number]) = Some(findings);
                }
            });
        }
    });
    let mut together = Findings::default();
    for result in &results {
        if let Some(findings) = lock(result).take() {
            together.merge(findings);
        }
    }
    together
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen(Mutex<Vec<String>>);

    impl Watcher for Seen {
        fn begins(&self, number: usize, of: usize, name: &str) {
            lock(&self.0).push(format!("{number} of {of}: {name}"));
        }

        fn reaches(&self, number: usize, share: f64) {
            lock(&self.0).push(format!("{number} at {share}"));
        }

        fn ends(&self, number: usize) {
            lock(&self.0).push(format!("{number} ends"));
        }
    }

    fn numbers(count: usize) -> Vec<Experiment> {
        let one = |number: usize| {
            let work = move |findings: &mut Findings| {
                findings.add("all", "number", "–", None, number as f64);
                findings.watch.tell(0.5);
            };
            Experiment::new(format!("the {number}th"), work)
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn what_is_found_stands_in_the_order_of_the_experiments() {
        for jobs in [1, 2, 9] {
            let watcher: Arc<dyn Watcher> = Arc::new(Seen::default());
            let findings = run(numbers(7), jobs, &watcher);
            assert_eq!(findings.rows[0].ours, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        }
    }

    #[test]
    fn who_watches_sees_each_experiment_from_beginning_to_end() {
        let seen = Arc::new(Seen::default());
        let watcher: Arc<dyn Watcher> = seen.clone();
        let _ = run(numbers(2), 1, &watcher);
        let expected = ["0 of 2: the 0th", "0 at 0.5", "0 ends", "1 of 2: the 1th", "1 at 0.5"];
        assert_eq!(lock(&seen.0)[..5], expected);
    }
}
