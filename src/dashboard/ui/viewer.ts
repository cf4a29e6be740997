/** Who looks at a page, from where and when: any part of it may ask, and none has to hand it on. */
import { createContext, useContext } from "hono/jsx";

type Viewer = {
  /** IANA name of the time zone in which times are told. */
  zone: string;
  mayChange: boolean;
  nowMs: number;
};

export const Viewing = createContext<Viewer>({ zone: "UTC", mayChange: false, nowMs: 0 });

/** Within a page only: elsewhere it is nobody, long ago. */
export function useViewer(): Viewer {
  return useContext(Viewing);
}
