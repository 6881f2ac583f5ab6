//! Group commit: whoever comes while a transaction runs shares the next one with all that wait.
//!
//! One of those who wait does the work for all. If it goes away meanwhile (its client hung up), the others
//! are told that nothing is known of their item, and each goes its own, slower way.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, oneshot};

/// The most items of one batch.
const BATCH_MAX: usize = 128;

/// Gathers items of many tasks into batches.
pub(crate) struct Batcher<T, R> {
    waiting: Mutex<Vec<(T, oneshot::Sender<R>)>>,
    lanes: Semaphore,
}

impl<T, R> Batcher<T, R> {
    /// A batcher that runs so many batches at once.
    pub(crate) fn new(lanes: usize) -> Self {
        Self { waiting: Mutex::default(), lanes: Semaphore::new(lanes) }
    }

    /// Runs an item together with those that wait besides. `work` gets them all and answers each, in their
    /// order. `None`: it did not answer this one.
    pub(crate) async fn run<W, F>(&self, item: T, work: W) -> Option<R>
    where
        W: Fn(Vec<T>) -> F,
        F: Future<Output = Vec<R>>,
    {
        let (sender, mut answer) = oneshot::channel();
        self.queue().push((item, sender));
        loop {
            let lane = tokio::select! {
                biased;
                answered = &mut answer => return answered.ok(),
                lane = self.lanes.acquire() => lane.ok()?,
            };
            let (items, senders) = self.batch();
            if !items.is_empty() {
                for (sender, answer) in senders.into_iter().zip(work(items).await) {
                    // Whoever went away does not want to know.
                    let _ = sender.send(answer);
                }
            }
            drop(lane);
            // Where many wait, the batch may have been full before the own item's turn.
        }
    }

    fn batch(&self) -> (Vec<T>, Vec<oneshot::Sender<R>>) {
        let mut waiting = self.queue();
        let many = waiting.len().min(BATCH_MAX);
        waiting.drain(..many).unzip()
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Vec<(T, oneshot::Sender<R>)>> {
        // A list of items is valid after any panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
}
