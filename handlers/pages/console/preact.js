// Preact and htm of vendor/, which the page executes before the modules. Texts become text nodes, never markup.

export const { createContext, render } = globalThis.preact;
export const { useContext, useEffect, useErrorBoundary, useLayoutEffect, useRef, useState } =
  globalThis.preactHooks;
export const html = globalThis.htm.bind(globalThis.preact.h);
