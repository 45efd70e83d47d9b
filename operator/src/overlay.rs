//! Own writes, laid over the watch cache until it has caught up: without this a pass that follows a write at once would
//! do it again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::ResourceExt;
use tokio::time::Instant;

/// A write that the cache has not shown for so long was undone by someone else. Longer than it takes to notice that a
/// watch is dead (35 s, see `cluster::caches`): until then the cache is the worse source.
const KEEP: Duration = Duration::from_secs(60);

type Key = (String, String);

/// Objects as the API server answered our writes.
#[derive(Debug)]
pub struct Overlay<K> {
    written: Mutex<HashMap<Key, (Arc<K>, Instant)>>,
}

impl<K> Default for Overlay<K> {
    fn default() -> Self {
        Self {
            written: Mutex::new(HashMap::new()),
        }
    }
}

impl<K: ResourceExt> Overlay<K> {
    /// The API server's answer to a write.
    pub fn wrote(&self, object: K) {
        let key = key(&object);
        self.lock().insert(key, (Arc::new(object), Instant::now()));
    }

    /// A watch event: what the cache shows now. `gone` for a deletion.
    pub fn saw(&self, object: &K, gone: bool) {
        let key = key(object);
        let mut written = self.lock();
        let caught_up = written.get(&key).is_some_and(|(ours, _)| {
            (gone && ours.uid() == object.uid()) || version(object) >= version(ours.as_ref())
        });
        if caught_up {
            written.remove(&key);
        }
    }

    /// The cache was listed anew, beginning at `begun`: it shows whatever was written before.
    pub fn listed(&self, begun: Instant) {
        self.lock().retain(|_, (_, at)| *at >= begun);
    }

    /// The cache's objects with newer own writes in their place, and objects that only we know yet.
    pub fn over(&self, cached: Vec<Arc<K>>, belongs: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        let mut written = self.lock();
        written.retain(|_, (_, at)| at.elapsed() < KEEP);
        let mut missing: HashMap<Key, Arc<K>> = written
            .iter()
            .filter(|(_, (ours, _))| belongs(ours))
            .map(|(key, (ours, _))| (key.clone(), ours.clone()))
            .collect();
        let mut objects: Vec<Arc<K>> = cached
            .into_iter()
            .map(|object| match missing.remove(&key(object.as_ref())) {
                Some(ours) if version(ours.as_ref()) > version(object.as_ref()) => ours,
                _ => object,
            })
            .collect();
        objects.extend(missing.into_values());
        objects
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, (Arc<K>, Instant)>> {
        // A panic while the map was held leaves at worst one write unseen.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key<K: ResourceExt>(object: &K) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// Resource versions are comparable decimal numbers (KEP-5504); anything else counts as older than all.
fn version<K: ResourceExt>(object: &K) -> u128 {
    object
        .resource_version()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    fn object(version: u32) -> ConfigMap {
        let metadata = ObjectMeta {
            name: Some("a".to_owned()),
            uid: Some("u".to_owned()),
            resource_version: Some(version.to_string()),
            ..ObjectMeta::default()
        };
        ConfigMap {
            metadata,
            ..ConfigMap::default()
        }
    }

    fn seen(overlay: &Overlay<ConfigMap>, cached: Vec<ConfigMap>) -> Vec<String> {
        let cached = cached.into_iter().map(Arc::new).collect();
        overlay
            .over(cached, |_| true)
            .iter()
            .filter_map(|o| o.resource_version())
            .collect()
    }

    #[tokio::test]
    async fn a_new_object_is_seen_before_the_cache_has_it() {
        let overlay = Overlay::default();
        overlay.wrote(object(9));
        assert_eq!(seen(&overlay, vec![]), ["9"]);
        assert_eq!(seen(&overlay, vec![object(8)]), ["9"]);
        assert_eq!(seen(&overlay, vec![object(10)]), ["10"]);
    }

    #[tokio::test]
    async fn the_cache_takes_over_once_it_has_caught_up() {
        let overlay = Overlay::default();
        overlay.wrote(object(9));
        overlay.saw(&object(8), false);
        assert_eq!(seen(&overlay, vec![]), ["9"]);
        overlay.saw(&object(9), false);
        assert!(seen(&overlay, vec![]).is_empty());
    }

    #[tokio::test]
    async fn a_deleted_object_does_not_come_back() {
        let overlay = Overlay::default();
        overlay.wrote(object(9));
        overlay.saw(&object(3), true);
        assert!(seen(&overlay, vec![]).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_list_shows_what_was_written_before_it_began() {
        let overlay = Overlay::default();
        overlay.wrote(object(9));
        tokio::time::advance(Duration::from_secs(1)).await;
        overlay.listed(Instant::now());
        assert!(seen(&overlay, vec![]).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_never_shows_is_forgotten() {
        let overlay = Overlay::default();
        overlay.wrote(object(9));
        tokio::time::advance(KEEP).await;
        assert!(seen(&overlay, vec![]).is_empty());
    }
}
