/** Node.js' codes for a certificate chain that ends at no trusted authority. */
const UNTRUSTED =
  /^(SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT(_LOCALLY)?|CERT_SIGNATURE_FAILURE)$/;

/**
 * What is wrong with EMQX's certificate, and what to do; null if the error is about something else.
 * @param url EMQX_URL in the form that messages may show.
 */
export function certificateProblem(error: unknown, url: string): string | null {
  const { code, message = '' } = error as { code?: unknown; message?: string };
  if (typeof code !== 'string') return null;
  if (UNTRUSTED.test(code))
    return `EMQX_URL: the certificate of ${url} is not trusted (${code}): set EMQX_CA_FILE to the PEM file of the authority that signed it`;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return `EMQX_URL: the certificate of ${url} is for another name (${message}): write a name in EMQX_URL that the certificate has`;
  }
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID')
    return `EMQX_URL: the certificate of ${url} is not valid now (${code}): renew it, and compare the clocks`;
  if (code === 'EPROTO' || code.startsWith('ERR_SSL'))
    return `EMQX_URL: ${url} speaks no TLS (${code}): write http://, or the port of EMQX's HTTPS listener (18084)`;
  return null;
}
