import type { Response } from 'express';
import type { Access } from '../door/auth';

/** What the token of a request may do, from the guard of /v1 to the routes that answer differently by it. */
export function noteAccess(res: Response, access: Access): void {
  (res.locals as { access?: Access }).access = access;
}

/** `read` where nobody has noted it. */
export function accessOf(res: Response): Access {
  return (res.locals as { access?: Access }).access ?? 'read';
}
