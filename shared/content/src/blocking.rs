//! File work beside asynchronous work.

use crate::StoreError;

/// Runs work that reads or writes files, or computes for long, off the asynchronous threads. A panic in it goes on in
/// the caller; work that a runtime which is ending never began is [`StoreError::Interrupted`].
///
/// # Errors
/// What the work fails with.
pub async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(StoreError::Interrupted.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn results_and_panics_reach_the_caller() {
        assert_eq!(blocking(|| Ok::<_, StoreError>(1)).await.unwrap(), 1);
        let failed: Result<(), _> = blocking(|| Err(StoreError::Interrupted)).await;
        assert!(matches!(failed, Err(StoreError::Interrupted)));
        let panicked = tokio::spawn(blocking(|| -> Result<(), StoreError> { panic!("as told") }));
        let payload = panicked.await.unwrap_err().into_panic();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"as told"));
    }
}
