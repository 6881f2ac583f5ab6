//! Group commit: whoever comes while a transaction runs shares the next one with all that wait.
//!
//! A lane runs one batch at a time. Whoever comes while a lane is free leads: it does the work for all that
//! wait, and then makes one of those that came meanwhile the next leader. If a leader goes away (its client
//! hung up), those in its batch are told that nothing is known of their item, and each goes its own, slower
//! way; the lane goes on to the next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The most items of one batch.
const BATCH_MAX: usize = 128;

/// Gathers items of many tasks into batches.
pub(crate) struct Batcher<T, R>(Arc<Mutex<Queue<T, R>>>);

struct Queue<T, R> {
    waiting: Vec<(T, oneshot::Sender<Word<T, R>>)>,
    free_lanes: usize,
}

/// What one who waits is told.
enum Word<T, R> {
    /// The answer to its item.
    Answer(R),
    /// It leads now. Its item still waits with the others, and the next word comes by this receiver.
    Lead(Lane<T, R>, oneshot::Receiver<Word<T, R>>),
}

/// The right to run a batch; passed on, or given back, when it is dropped.
struct Lane<T, R>(Option<Arc<Mutex<Queue<T, R>>>>);

impl<T, R> Batcher<T, R> {
    /// A batcher that runs so many batches at once.
    pub(crate) fn new(lanes: usize) -> Self {
        Self(Arc::new(Mutex::new(Queue { waiting: Vec::new(), free_lanes: lanes })))
    }

    /// Runs an item together with those that wait besides. `work` gets them all and answers each, in their
    /// order. `None`: it did not answer this one.
    pub(crate) async fn run<W, F>(&self, item: T, work: W) -> Option<R>
    where
        W: Fn(Vec<T>) -> F,
        F: Future<Output = Vec<R>>,
    {
        let (sender, mut told) = oneshot::channel();
        let mut lane = self.join(item, sender);
        loop {
            if let Some(lane) = lane.take() {
                let (items, senders) = lane.batch();
                for (sender, answer) in senders.into_iter().zip(work(items).await) {
                    // Whoever went away does not want to know.
                    let _ = sender.send(Word::Answer(answer));
                }
            }
            // Where many wait, the batch may have been full before the own item's turn.
            match told.await.ok()? {
                Word::Answer(answer) => return Some(answer),
                Word::Lead(led, next) => (lane, told) = (Some(led), next),
            }
        }
    }

    /// Puts an item where the next leader finds it; gives the lane if one is free.
    fn join(&self, item: T, sender: oneshot::Sender<Word<T, R>>) -> Option<Lane<T, R>> {
        let mut queue = locked(&self.0);
        queue.waiting.push((item, sender));
        queue.free_lanes = queue.free_lanes.checked_sub(1)?;
        Some(Lane(Some(Arc::clone(&self.0))))
    }
}
impl<T, R> Lane<T, R> {
    /// Takes the items that wait, the eldest first.
    fn batch(&self) -> (Vec<T>, Vec<oneshot::Sender<Word<T, R>>>) {
        let Some(queue) = &self.0 else { return (Vec::new(), Vec::new()) };
        let mut queue = locked(queue);
        let many = queue.waiting.len().min(BATCH_MAX);
        queue.waiting.drain(..many).unzip()
    }
}

impl<T, R> Drop for Lane<T, R> {
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        let mut queue = locked(&shared);
        while let Some((_, sender)) = queue.waiting.first_mut() {
            let (next, word) = oneshot::channel();
            let told = std::mem::replace(sender, next);
            let lane = Lane(Some(Arc::clone(&shared)));
            match told.send(Word::Lead(lane, word)) {
                Ok(()) => return,
                // Its client went away before anything was done about its item.
                Err(Word::Lead(mut lane, _)) => lane.0 = None,
                Err(Word::Answer(_)) => {}
            }
            queue.waiting.remove(0);
        }
        queue.free_lanes += 1;
    }
}

fn locked<T, R>(queue: &Mutex<Queue<T, R>>) -> MutexGuard<'_, Queue<T, R>> {
    // A list of items is valid after any panic.
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    #[tokio::test]
    async fn all_are_answered_in_fewer_batches() {
        let batcher = Arc::new(Batcher::<usize, usize>::new(1));
        let runs = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..1_000)
            .map(|number| {
                let (batcher, runs) = (Arc::clone(&batcher), Arc::clone(&runs));
                tokio::spawn(async move {
                    let runs = &runs;
                    let work = |items: Vec<usize>| async move {
                        runs.fetch_add(1, Ordering::Relaxed);
                        tokio::task::yield_now().await;
                        items.into_iter().map(|item| item * 2).collect()
                    };
                    (number, batcher.run(number, work).await)
                })
            })
            .collect();
        for task in tasks {
            let (number, answer) = task.await.unwrap();
            assert_eq!(answer, Some(number * 2));
        }
        assert!(runs.load(Ordering::Relaxed) < 100, "{runs:?}");
    }

    #[tokio::test]
    async fn whoever_leads_may_go_away() {
        let batcher = Arc::new(Batcher::<(), ()>::new(1));
        let leads = Arc::new(Notify::new());
        let leader = tokio::spawn({
            let (batcher, leads) = (Arc::clone(&batcher), Arc::clone(&leads));
            async move {
                let leads = &leads;
                let work = |_| async move {
                    leads.notify_one();
                    std::future::pending().await
                };
                batcher.run((), work).await
            }
        });
        leads.notified().await;
        leader.abort();
        assert!(leader.await.unwrap_err().is_cancelled());
        let work = |items: Vec<()>| async move { items };
        assert_eq!(batcher.run((), work).await, Some(()));
    }

    #[tokio::test]
    async fn the_lane_passes_those_by_who_went_away() {
        let batcher = Arc::new(Batcher::<u8, u8>::new(1));
        let (begin, hold) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let run = |item: u8| {
            let batcher = Arc::clone(&batcher);
            let (begin, hold) = (Arc::clone(&begin), Arc::clone(&hold));
            tokio::spawn(async move {
                let (begin, hold) = (&begin, &hold);
                let work = |items: Vec<u8>| async move {
                    begin.notify_one();
                    hold.notified().await;
                    items
                };
                batcher.run(item, work).await
            })
        };
        let first = run(1);
        begin.notified().await;
        let (gone, last) = (run(2), run(3));
        while locked(&batcher.0).waiting.len() < 2 {
            tokio::task::yield_now().await;
        }
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        hold.notify_one();
        assert_eq!(first.await.unwrap(), Some(1));
        begin.notified().await;
        hold.notify_one();
        assert_eq!(last.await.unwrap(), Some(3));
        assert_eq!(locked(&batcher.0).free_lanes, 1);
    }
}
