//! What is remembered of many callers in little memory, and without one lock for all of them.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many locks there are; callers meet at one of them by chance only.
const SHARDS: usize = 32;

/// A value per key. Keys that were not changed for long make room for others: when the young ones are
/// many enough they become the old ones, and the old ones are forgotten. So each call costs the same,
/// and nobody can make the memory grow.
pub(super) struct Recent<K, V> {
    shards: Box<[Mutex<Generations<K, V>>]>,
    hasher: RandomState,
    young_max: usize,
}

struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash, V: Default> Recent<K, V> {
    /// Remembers at least so many keys, roughly, and at most twice as many.
    pub(super) fn new(remembered_min: usize) -> Self {
        let shard = || Mutex::new(Generations { young: HashMap::new(), old: HashMap::new() });
        let shards = std::iter::repeat_with(shard).take(SHARDS).collect();
        let young_max = remembered_min.div_ceil(SHARDS);
        Self { shards, hasher: RandomState::new(), young_max }
    }

    /// Looks at a value; `None` where there is none.
    pub(super) fn look<R>(&self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
        let shard = self.shard(key);
        shard.young.get(key).or_else(|| shard.old.get(key)).map(look)
    }

    /// Changes a value; one that is not there begins as the default.
    pub(super) fn change<R>(&self, key: K, change: impl FnOnce(&mut V) -> R) -> R {
        let mut shard = self.shard(&key);
        if let Some(value) = shard.young.get_mut(&key) {
            return change(value);
        }
        if shard.young.len() >= self.young_max {
            shard.old = std::mem::take(&mut shard.young);
        }
        let value = shard.old.remove(&key).unwrap_or_default();
        change(shard.young.entry(key).or_insert(value))
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, Generations<K, V>> {
        let shards = u64::try_from(self.shards.len()).unwrap_or(1);
        let place = usize::try_from(self.hasher.hash_one(key) % shards).unwrap_or(0);
        // A count that a panic left behind is as good as any.
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let count = |shard: &Mutex<Generations<K, V>>| {
            let shard = shard.lock().unwrap();
            shard.young.len() + shard.old.len()
        };
        self.shards.iter().map(count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_who_keeps_coming_is_remembered() {
        let recent: Recent<u32, u32> = Recent::new(1_000);
        assert_eq!(recent.look(&0, |count| *count), None);
        for key in 1..100_000 {
            recent.change(key, |count| *count += 1);
            if key % 10 == 0 {
                recent.change(0, |count| *count += 1);
            }
            assert!(recent.len() <= 2 * 1_024 + SHARDS, "{}", recent.len());
        }
        assert_eq!(recent.look(&0, |count| *count), Some(9_999));
        assert_eq!(recent.look(&99_999, |count| *count), Some(1));
        assert_eq!(recent.look(&1, |count| *count), None);
    }
}
