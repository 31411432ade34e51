//! The network's directory as lonetd has it open, which is replaced when it was deleted and is made again.

use lonet_core::directory::Directory;
use std::sync::{Arc, PoisonError, RwLock};

/// The open directory with the network's files, for all threads of lonetd. Whatever becomes of its path, the
/// files are in it.
#[derive(Clone, Debug)]
pub struct CurrentDirectory(Arc<RwLock<Arc<Directory>>>);

impl CurrentDirectory {
    pub fn new(directory: Directory) -> CurrentDirectory {
        CurrentDirectory(Arc::new(RwLock::new(Arc::new(directory))))
    }

    pub fn get(&self) -> Arc<Directory> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn replace(&self, directory: Directory) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(directory);
    }
}
