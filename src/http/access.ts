import type { Response } from 'express';
import type { Access } from '../door/auth';

/** Notes what the token of the request may do, for the routes whose answer depends on it. */
export function noteAccess(res: Response, access: Access): void {
  (res.locals as { access?: Access }).access = access;
}

/** What the token of the request may do; `read` if it was not noted. */
export function accessOf(res: Response): Access {
  return (res.locals as { access?: Access }).access ?? 'read';
}
