// Data of a page: loaded, loaded again while the page is visible, and kept when a request fails.

import { useEffect, useRef, useState } from "./preact-htm.js";

/** Resolves when the page is visible. A hidden page asks for nothing. */
export function whenVisible(signal) {
  return new Promise((resolve) => {
    const check = () => {
      if (document.visibilityState !== "visible" && !signal.aborted) return;
      document.removeEventListener("visibilitychange", check);
      resolve();
    };
    document.addEventListener("visibilitychange", check);
    signal.addEventListener("abort", check);
    check();
  });
}

export function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/**
 * Loads data when one of the inputs changes, and then every `pauseMs` (0: once). An error keeps
 * the data of before. `load` gets a signal that aborts when the page is left.
 */
export function useResource(load, inputs, pauseMs = 0) {
  const key = JSON.stringify(inputs);
  const [state, setState] = useState({ key, data: null, error: null });
  const [attempt, setAttempt] = useState(0);
  const latest = useRef(load);
  latest.current = load;
  useEffect(() => {
    const abort = new AbortController();
    const { signal } = abort;
    const run = async () => {
      while (!signal.aborted) {
        try {
          const data = await latest.current(signal);
          if (!signal.aborted) setState({ key, data, error: null });
        } catch (error) {
          if (signal.aborted) return;
          setState((before) => ({ key, data: before.key === key ? before.data : null, error }));
        }
        if (!pauseMs) return;
        await pause(pauseMs, signal);
        await whenVisible(signal);
      }
    };
    run();
    return () => abort.abort();
  }, [key, attempt, pauseMs]);
  const current = state.key === key ? state : { data: null, error: null };
  return {
    ...current,
    loading: current.data === null && current.error === null,
    reload: () => setAttempt((before) => before + 1),
    replace: (data) => setState({ key, data, error: null }),
  };
}

/** An action of a button: whether it runs, and how it ended. */
export function useAction(act) {
  const [state, setState] = useState({ busy: false, error: null, result: null });
  const run = async (...inputs) => {
    setState({ busy: true, error: null, result: null });
    try {
      const result = await act(...inputs);
      setState({ busy: false, error: null, result });
      return result;
    } catch (error) {
      setState({ busy: false, error, result: null });
      return null;
    }
  };
  return { ...state, run, clear: () => setState({ busy: false, error: null, result: null }) };
}
