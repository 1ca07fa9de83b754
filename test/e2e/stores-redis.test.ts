import { onStoresOf } from './on-store';

onStoresOf('stores-redis');
