// Preact with htm, which vendor/ holds: the page executes it before the modules. Texts become text nodes, never markup.

export const { createContext, html, render, useContext, useEffect, useErrorBoundary, useMemo, useRef, useState } =
  globalThis.htmPreact;
